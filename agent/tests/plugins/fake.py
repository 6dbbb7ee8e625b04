"""A plugin that does what real ones have been seen to do, and a library would not let us do.

It prints noise around a preamble full of nulls, floods its output at every ping, dies of a metric without
both of its times as plugins in Go do, answers with tags that are no text and with metrics without a
version, tells of errors by a gRPC status, and ends before it has answered Kill.
"""

import concurrent.futures
import os
import sys

import grpc
from snap_plugin.v1 import plugin_pb2 as pb


def metric(*elements):
    return pb.Metric(Namespace=[pb.NamespaceElement(Value=element) for element in elements])


def ping(request, context):
    print("ping\n" * 20000, flush=True)
    print("ping\n" * 20000, file=sys.stderr, flush=True)
    return b""


def types(request, context):
    names = ["address", "status", "large"]
    return pb.MetricsReply(metrics=[metric("tribe", "fake", name) for name in names]).SerializeToString()


def collect(request, context):
    metrics = pb.MetricsArg.FromString(request).metrics
    for one in metrics:
        if not (one.HasField("Timestamp") and one.HasField("LastAdvertisedTime")):
            os._exit(2)
        if one.Namespace[-1].Value == "status":
            context.abort(grpc.StatusCode.UNKNOWN, "there is no disk")
        one.Version = 0
        one.Tags["hardware_addr"] = "......"
        one.string_data = "......"
        if one.Namespace[-1].Value == "large":
            one.bytes_data = b"x" * 6000000
    reply = pb.MetricsReply(metrics=metrics).SerializeToString()
    return reply.replace(b"......", b"\x02\x42\xac\x11\x00\xfe")


METHODS = {
    "Ping": ping,
    "Kill": lambda request, context: os._exit(0),
    "GetConfigPolicy": lambda request, context: b"",
    "GetMetricTypes": types,
    "CollectMetrics": collect,
}

if __name__ == "__main__":
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
    handlers = {name: grpc.unary_unary_rpc_method_handler(method) for name, method in METHODS.items()}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("rpc.Collector", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print("warming up\n{\"level\": \"info\", \"msg\": \"nearly\"}", flush=True)
    print('{"Meta": {"Name": "fake", "Version": 7, "RPCType": 2, "CacheTTL": null, "TLSEnabled": null},'
          ' "ListenAddress": "127.0.0.1:%d", "Token": null, "State": null}' % port, flush=True)
    server.wait_for_termination()
