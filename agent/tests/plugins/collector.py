"""A collector on snap's own library: a static metric, a dynamic one, and ones that are trouble."""

import time

import snap_plugin.v1 as snap


class Collector(snap.Collector):
    def update_catalog(self, config):
        def metric(*elements, **more):
            return snap.Metric(namespace=[*elements], version=1, **more)

        return [
            metric("tribe", "mock", "load", unit="1/s", description="the load"),
            metric("tribe", "mock", "cpu", snap.NamespaceElement.dynamic_namespace_element("cpu_id", "a processor"), "user"),
            metric("tribe", "mock", "trouble", "error"),
            metric("tribe", "mock", "large", "one"),
            metric("tribe", "mock", "large", "two"),
        ]

    def collect(self, metrics):
        collected = []
        for metric in metrics:
            names = [element.value for element in metric.namespace]
            if names[-1] == "error":
                raise ValueError("there is no disk")
            if names[-1] == "load":
                metric.data = metric.config["scale"]
            if names[2] == "large":
                metric.data = "x" * 3000000
            if names[-1] != "user":
                metric.timestamp = time.time()
                collected.append(metric)
                continue
            for cpu in ["cpu0", "cpu1"] if names[3] == "*" else [names[3]]:
                one = snap.Metric(namespace=[*metric.namespace], version=1)
                one.namespace[3].value = cpu
                one.data = float(cpu[3:])
                collected.append(one)
        return collected

    def get_config_policy(self):
        return snap.ConfigPolicy(
            [("tribe", "mock"), [("scale", snap.IntegerRule(default=10, minimum=1, maximum=100))]]
        )


if __name__ == "__main__":
    Collector("Mock-Py", 1).start_plugin()
