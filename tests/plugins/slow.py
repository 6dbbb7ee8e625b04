"""A processor that takes its time: it gives back what it got after so many milliseconds. Each task that uses
it has an instance of its own, as long as there may be one more."""

import time

import snap_plugin.v1 as snap


class Slow(snap.Processor):
    def process(self, metrics, config):
        time.sleep(config["ms"] / 1000)
        return metrics

    def get_config_policy(self):
        return snap.ConfigPolicy([None, [("ms", snap.IntegerRule(default=0, minimum=0))]])


if __name__ == "__main__":
    Slow("slow", 1, concurrency_count=1).start_plugin()
