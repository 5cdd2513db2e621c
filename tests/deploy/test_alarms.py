"""What calls for a person, and whether it can."""

import re
import unittest

from stack import ALARMS, EDGE, MAIN, of_type, properties, read

OURS = {"Fn::Sub": "Runnel/${Stage}"}
# What may be wrong with a deployment, and in which measure that is seen.
WATCHED = {
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),  # dead jobs
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"),  # jobs that wait
    ("AWS/Lambda", "IteratorAge"),  # the table's stream
    ("AWS/Lambda", "Throttles"),
    ("AWS/ApiGateway", "5xx"),
    ("AWS/NetworkELB", "UnHealthyHostCount"),
    ("AWS/DynamoDB", "WriteThrottleEvents"),
    ("AWS/DynamoDB", "ReadThrottleEvents"),
    ("ours", "OutboxOldestSeconds"),
    ("ours", "EdgeOldestUncheckedSeconds"),
    ("ours", "EdgeLag"),
    ("ours", "Unreadable"),
    ("ours", "Failures"),
}
ALL_ALARMS = of_type(ALARMS, "AWS::CloudWatch::Alarm")
FILTERS = of_type(ALARMS, "AWS::Logs::MetricFilter")
# Log lines that no machine acts on, with the sources that write them.
UNREADABLE = {
    "store.corrupt_rows": "crates/store/src/table.rs",
    "fanout.bad_jobs": "crates/fanout/src/worker.rs",
    "fanout.bad_records": "crates/fanout/src/lambda.rs",
}


def transformation(filter_):
    (found,) = filter_["MetricTransformations"]
    return found


class Alarms(unittest.TestCase):
    def test_all_that_may_be_wrong_is_watched_and_somebody_is_told(self):
        watched = {("ours" if a["Namespace"] == OURS else a["Namespace"], a["MetricName"]) for a in ALL_ALARMS.values()}
        self.assertEqual(watched, WATCHED)
        for name, alarm in ALL_ALARMS.items():
            self.assertEqual(alarm["AlarmActions"], [{"Ref": "Topic"}], name)
            self.assertGreater(len(alarm["AlarmDescription"]), 40, name)
            # Nothing is counted under a measure without its dimension.
            self.assertEqual("Dimensions" in alarm, alarm["Namespace"] != OURS or alarm["MetricName"] == "Failures", name)

    def test_nobody_is_told_of_an_alarm_that_has_just_been_made(self):
        for name, alarm in ALL_ALARMS.items():
            self.assertIn(alarm["TreatMissingData"], ("notBreaching", "missing"), name)
            # Missing data after there was some is told.
            self.assertEqual("InsufficientDataActions" in alarm, alarm["TreatMissingData"] == "missing", name)

    def test_failed_calls_are_counted_by_the_kinds_that_the_programs_log(self):
        kinds = set(re.findall(r'=> "(\w+)"', read("crates/domain/src/failure.rs")))
        watched = [d["Value"] for a in ALL_ALARMS.values() for d in a.get("Dimensions", []) if d["Name"] == "failure"]
        self.assertEqual(sorted(watched), ["corrupt", "refused"])
        self.assertLessEqual(set(watched), kinds)
        counted = {f["LogGroupName"]["Ref"] for f in FILTERS.values() if transformation(f)["MetricName"] == "Failures"}
        self.assertEqual(counted, {"ApiLogs", "FanoutLogs", "EdgeLogs"})
        self.assertIn("tracing::error!(failure, ", read("crates/api/src/answer.rs"))
        for path in ("crates/fanout/src/lib.rs", "sse-edge/src/context.rs"):
            self.assertIn("failure = error.failure().as_str()", read(path))

    def test_alarms_look_at_what_is_deployed(self):
        given = properties(MAIN, "Alarms")["Parameters"]
        resources = {
            "TableName": "Table", "ApiId": "HttpApi", "ApiFunction": "ApiFunction", "FanoutFunction": "FanoutFunction",
            "JobQueue": "JobQueue", "DeadJobs": "DeadJobs", "LoadBalancer": "Edge",
            "TargetGroup": "Edge",
        }
        for name, alarm in ALL_ALARMS.items():
            for dimension in (d for d in alarm.get("Dimensions", []) if d["Name"] != "failure"):
                parameter = dimension["Value"]["Ref"]
                self.assertIn(f"'{resources[parameter]}'", str(given[parameter]), name)
        # CloudWatch knows a load balancer by this, and not by its address.
        self.assertIn("Outputs.LoadBalancerFullName", str(given["LoadBalancer"]))
        self.assertIn("LoadBalancerFullName", EDGE["Outputs"])

    def test_what_is_missing_without_an_edge_calls_nobody_without_one(self):
        for name, resource in ALARMS["Resources"].items():
            needs = re.search(r"'(EdgeLogs|LoadBalancer)'|'MetricName': 'Edge", str(resource.get("Properties")))
            if resource["Type"] != "AWS::CloudWatch::Dashboard":
                self.assertEqual(resource.get("Condition") == "HasEdge", bool(needs), name)

    def test_what_alarms_and_scaling_look_at_is_measured(self):
        measured = {transformation(f)["MetricName"] for f in FILTERS.values()}
        ours = {a["MetricName"] for a in ALL_ALARMS.values() if a["Namespace"] == OURS}
        scaling = properties(EDGE, "ScaleOnStreams")["TargetTrackingScalingPolicyConfiguration"]
        self.assertEqual(ours | {scaling["CustomizedMetricSpecification"]["MetricName"]}, measured)

    def test_measures_are_made_of_lines_that_the_programs_write(self):
        written = read("sse-edge/src/reconcile/resync.rs") + read("crates/fanout/src/lambda.rs")
        for name, each in FILTERS.items():
            field = transformation(each)["MetricValue"]
            if field == "1":
                continue
            self.assertEqual(each["FilterPattern"], f"{{ {field} = * }}", name)
            self.assertRegex(written, rf"(?<!let )\b{field.removeprefix('$.')} = ")
        (container,) = properties(EDGE, "Task")["ContainerDefinitions"]
        self.assertIn("RUNNEL_REPORT_SECONDS", {e["Name"] for e in container["Environment"]})

    def test_a_line_for_a_person_is_counted_wherever_it_may_be_written(self):
        counted = {f["LogGroupName"]["Ref"]: f["FilterPattern"] for f in FILTERS.values()
                   if transformation(f)["MetricName"] == "Unreadable"}
        self.assertEqual(set(counted), {"ApiLogs", "FanoutLogs", "EdgeLogs"})
        for field, source in UNREADABLE.items():
            self.assertRegex(read(source), rf"{re.escape(field)} = 1")
            self.assertIn(f'?"{field}"', counted["FanoutLogs"])
        for pattern in counted.values():
            self.assertIn('?"store.corrupt_rows"', pattern)
