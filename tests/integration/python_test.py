"""Two clients in Python: one that knows the daemon from reflection alone, and
one with stubs that protoc made."""

import socket
import subprocess
import sys
import unittest

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

BINARY, GRPC_MORE = sys.argv[1:3]
# The stubs of the reflection protocol are in the package `grpc`, which Debian's
# grpcio is, too.
grpc.__path__.append(GRPC_MORE)
from grpc.reflection import v1, v1alpha
import grpc.reflection.v1.reflection_pb2
import grpc.reflection.v1.reflection_pb2_grpc
import grpc.reflection.v1alpha.reflection_pb2
import grpc.reflection.v1alpha.reflection_pb2_grpc

TIMEOUT = 30
PREFIX = "portreeved: "


class Daemon:
    """A portreeved on a port of the OS, killed at the end."""

    def __enter__(self):
        self.process = subprocess.Popen(
            [BINARY, "--control", "tcp:127.0.0.1:0"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for line in self.process.stdout:
            if line.startswith(PREFIX + "control tcp:"):
                self.target = line[len(PREFIX + "control tcp:"):].strip()
            if line == PREFIX + "ready\n":
                return self
        raise RuntimeError("portreeved ended before it was ready")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Reflection:
    """What a server says of itself, by a version of the protocol."""

    def __init__(self, channel, version):
        self.version = version
        self.stub = version.reflection_pb2_grpc.ServerReflectionStub(channel)

    def ask(self, **question):
        request = self.version.reflection_pb2.ServerReflectionRequest(
            **question)
        return next(
            self.stub.ServerReflectionInfo(iter([request]), timeout=TIMEOUT))

    def services(self):
        answer = self.ask(list_services="")
        return [s.name for s in answer.list_services_response.service]

    def pool_for(self, symbol):
        """A pool with the file of `symbol`, and all that it imports."""
        pool = descriptor_pool.DescriptorPool()
        added = set()

        def add(answer):
            for raw in answer.file_descriptor_response.file_descriptor_proto:
                file = descriptor_pb2.FileDescriptorProto.FromString(raw)
                if file.name in added:
                    continue
                added.add(file.name)
                for name in file.dependency:
                    add(self.ask(file_by_filename=name))
                pool.Add(file)

        add(self.ask(file_containing_symbol=symbol))
        return pool


class PythonTest(unittest.TestCase):

    def test_reflection_alone(self):
        for version in (v1, v1alpha):
            with self.subTest(version=version.__name__):
                self.reflection_alone(version)

    def reflection_alone(self, version):
        with Daemon() as daemon, grpc.insecure_channel(
                daemon.target) as channel:
            reflection = Reflection(channel, version)
            self.assertCountEqual(reflection.services(), [
                "grpc.health.v1.Health",
                "grpc.reflection.v1.ServerReflection",
                "grpc.reflection.v1alpha.ServerReflection",
                "portreeve.v1.ConnectionService",
                "portreeve.v1.DaemonService",
                "portreeve.v1.EventService",
                "portreeve.v1.HandlerService",
                "portreeve.v1.ListenerService",
                "portreeve.v1.StatsService",
            ])
            # Enough to call what nobody here has compiled.
            service = "portreeve.v1.ListenerService"
            pool = reflection.pool_for(service)
            method = pool.FindServiceByName(service).methods_by_name[
                "ListListeners"]
            factory = message_factory.MessageFactory(pool)
            request = factory.GetPrototype(method.input_type)()
            response = factory.GetPrototype(method.output_type)
            call = channel.unary_unary(
                f"/{service}/{method.name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=response.FromString)
            self.assertEqual(len(call(request, timeout=TIMEOUT).listeners), 0)
            # Health is found as everything else is.
            health = reflection.pool_for("grpc.health.v1.Health")
            factory = message_factory.MessageFactory(health)
            request = factory.GetPrototype(
                health.FindMessageTypeByName(
                    "grpc.health.v1.HealthCheckRequest"))
            response = factory.GetPrototype(
                health.FindMessageTypeByName(
                    "grpc.health.v1.HealthCheckResponse"))
            check = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=response.FromString)
            for name in ["", *reflection.services()[:6]]:
                answer = check(request(service=name), timeout=TIMEOUT)
                self.assertEqual(answer.status, 1)  # SERVING.
            reflection.pool_for("google.rpc.ErrorInfo")
            unknown = reflection.ask(file_containing_symbol="no.such.Thing")
            self.assertEqual(unknown.error_response.error_code, 5)

    def test_generated_stubs(self):
        from portreeve.v1 import event_pb2, event_pb2_grpc
        from portreeve.v1 import listener_pb2, listener_pb2_grpc
        with Daemon() as daemon, grpc.insecure_channel(
                daemon.target) as channel:
            watch = event_pb2_grpc.EventServiceStub(channel).WatchEvents(
                event_pb2.WatchEventsRequest(), timeout=TIMEOUT)
            watch.initial_metadata()  # The watch counts.
            request = listener_pb2.CreateListenerRequest(listener_id="echo")
            request.spec.where_to_listen.inet.address = "127.0.0.1"
            request.spec.handler.echo.SetInParent()
            listener = listener_pb2_grpc.ListenerServiceStub(
                channel).CreateListener(request, timeout=TIMEOUT)
            self.assertEqual(listener.name, "listeners/echo")

            inet = listener.status.listening_on.inet
            with socket.create_connection((inet.address, inet.port),
                                          timeout=TIMEOUT) as connection:
                connection.sendall(b"hello")
                connection.shutdown(socket.SHUT_WR)
                self.assertEqual(connection.makefile("rb").read(), b"hello")

            events = []
            while len(events) < 3:
                events.extend(next(watch).events)
            self.assertEqual([e.revision for e in events], [1, 2, 3])
            self.assertEqual([e.WhichOneof("kind") for e in events], [
                "listener_created", "connection_accepted", "connection_closed"
            ])
            closed = events[2].connection_closed.connection
            self.assertEqual(closed.bytes_received, 5)
            self.assertEqual(closed.bytes_sent, 5)
            watch.cancel()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
