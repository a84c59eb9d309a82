"""What the tests of `ros2` and of recording look at: a lifecycle node with topics, a service, an action, parameters."""

import signal
import threading
import time

import rclpy
from geometry_msgs.msg import WrenchStamped
from rcl_interfaces.msg import SetParametersResult
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import MultiThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Float32MultiArray, String
from std_srvs.srv import SetBool

from insertion_vla_interfaces.action import RunInsertion

FAST_HZ = 100.0


class Peer(LifecycleNode):
    def __init__(self):
        super().__init__("driver", namespace="/arm")
        group = ReentrantCallbackGroup()
        self.declare_parameter("gain.kp", 1.5)
        self.declare_parameter("name", "left")
        self.declare_parameter("axes", [1, 2])
        self.add_on_set_parameters_callback(self.check)
        self.create_service(SetBool, "~/enable", self.enable)
        self.server = ActionServer(
            self,
            RunInsertion,
            "run",
            self.run,
            goal_callback=lambda goal: GoalResponse.REJECT if goal.instruction == "reject" else GoalResponse.ACCEPT,
            cancel_callback=lambda handle: CancelResponse.ACCEPT,
            callback_group=group,
        )
        self.fast = self.create_publisher(WrenchStamped, "/fast", QoSProfile(depth=1000))
        self.array = self.create_publisher(Float32MultiArray, "/array", 10)
        best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
        self.loose = self.create_publisher(String, "/best_effort", best_effort)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.latched = self.create_publisher(String, "/latched", latched)
        self.latched.publish(String(data="once"))
        self.hidden = self.create_publisher(String, "/_hidden", 10)
        self.count = 0

    def tick(self):
        message = WrenchStamped()
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id = "tool"
        message.wrench.force.z = float(self.count)
        self.fast.publish(message)
        if self.count % 10 == 0:
            self.array.publish(Float32MultiArray(data=[0.5] * 200))
            self.loose.publish(String(data="loose"))
        self.count += 1

    def check(self, parameters):
        bad = any(p.name == "gain.kp" and p.value < 0 for p in parameters)
        return SetParametersResult(successful=not bad, reason="gain.kp must be >= 0" if bad else "")

    def enable(self, request, response):
        response.success, response.message = request.data, f"enabled: {request.data}"
        return response

    def run(self, handle):
        deadline = time.monotonic() + handle.request.timeout
        while time.monotonic() < deadline:
            if handle.is_cancel_requested:
                handle.canceled()
                self.get_logger().info("goal was canceled")
                return RunInsertion.Result(reason="canceled")
            handle.publish_feedback(RunInsertion.Feedback(status="going"))
            time.sleep(0.02)
        if handle.request.instruction == "abort":
            handle.abort()
            return RunInsertion.Result(reason="aborted")
        handle.succeed()
        return RunInsertion.Result(success=True, reason="done")

    def on_activate(self, state):
        return TransitionCallbackReturn.FAILURE


def main():
    stop = threading.Event()
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    node = Peer()
    executor = MultiThreadedExecutor(4)
    executor.add_node(node)
    spinner = threading.Thread(target=lambda: [executor.spin_once(timeout_sec=0.05) for _ in iter(stop.is_set, True)])
    spinner.start()
    print("ready", flush=True)
    begin = time.monotonic()
    while not stop.wait(max(0.0, begin + node.count / FAST_HZ - time.monotonic())):
        node.tick()
    spinner.join()
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
