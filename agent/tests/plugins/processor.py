"""A processor on snap's own library: gives every metric a tag."""

import snap_plugin.v1 as snap


class Processor(snap.Processor):
    def process(self, metrics, config):
        for metric in metrics:
            metric.tags["colour"] = config["colour"]
        return metrics

    def get_config_policy(self):
        return snap.ConfigPolicy([None, [("colour", snap.StringRule(default="red"))]])


if __name__ == "__main__":
    Processor("tag-py", 1).start_plugin()
