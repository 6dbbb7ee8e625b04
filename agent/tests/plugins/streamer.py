"""A streaming collector on snap's own library: a number that grows."""

import time

import snap_plugin.v1 as snap


class Streamer(snap.StreamCollector):
    number = 0

    def stream(self, metrics):
        time.sleep(0.05)
        Streamer.number += 1
        return [snap.Metric(namespace=["stream", "number"], version=1, data=Streamer.number)]

    def update_catalog(self, config):
        return [snap.Metric(namespace=["stream", "number"], version=1)]

    def get_config_policy(self):
        return snap.ConfigPolicy()


if __name__ == "__main__":
    Streamer("streamer-py", 1).start_plugin()
