"""A publisher on snap's own library: a line in a file for every metric."""

import snap_plugin.v1 as snap


class Publisher(snap.Publisher):
    def publish(self, metrics, config):
        with open(config["file"], "a") as file:
            for metric in metrics:
                name = "/".join(element.value for element in metric.namespace)
                tags = ",".join(sorted("%s=%s" % tag for tag in metric.tags.items()))
                file.write("%s %s %s\n" % (name, len(str(metric.data)), tags))

    def get_config_policy(self):
        return snap.ConfigPolicy([None, [("file", snap.StringRule(required=True))]])


if __name__ == "__main__":
    Publisher("file-py", 1).start_plugin()
