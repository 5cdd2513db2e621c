"""The table, the queues and what comes out of them."""

import json
import re
import tomllib
import unittest

from stack import ALL, MAIN, limit_seconds, of_type, properties, read


class Data(unittest.TestCase):
    def test_the_table_is_the_one_that_the_store_expects(self):
        table, store = properties(MAIN, "Table"), read("crates/store/src/table.rs")
        for name, kind in {"pk": "HASH", "sk": "RANGE"}.items():
            self.assertIn({"AttributeName": name, "KeyType": kind}, table["KeySchema"])
            self.assertIn(f'attribute("{name}")', store)
        ttl = table["TimeToLiveSpecification"]
        self.assertEqual(ttl, {"AttributeName": "exp", "Enabled": True})
        self.assertIn('TimeToLiveSpecification::builder().attribute_name("exp")', store)
        self.assertEqual(table["BillingMode"], "PAY_PER_REQUEST")

    def test_the_table_can_be_restored_is_encrypted_and_outlives_the_stack(self):
        table = properties(MAIN, "Table")
        self.assertTrue(table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"])
        # Without it DynamoDB encrypts with its own key, which is free (CloudFormation, `SSESpecification`).
        self.assertNotIn("SSESpecification", table)
        self.assertEqual(table["DeletionProtectionEnabled"], {"Fn::If": ["IsProtected", True, False]})
        self.assertEqual(MAIN["Parameters"]["DeletionProtection"]["Default"], "true")
        resource = MAIN["Resources"]["Table"]
        self.assertEqual(resource["DeletionPolicy"], "RetainExceptOnCreate")
        self.assertEqual(resource["UpdateReplacePolicy"], "Retain")

    def test_the_stream_shows_outbox_rows_only_and_no_text(self):
        self.assertEqual(properties(MAIN, "Table")["StreamSpecification"], {"StreamViewType": "KEYS_ONLY"})
        mapping = self.mapping("Table")
        (pattern,) = [json.loads(f["Pattern"]) for f in mapping["FilterCriteria"]["Filters"]]
        (prefix,) = pattern["dynamodb"]["Keys"]["pk"]["S"]
        self.assertIn(f'self.pk.starts_with("{prefix["prefix"]}")', read("crates/store/src/table/keys.rs"))
        self.assertEqual(set(pattern), {"dynamodb"}, "AWS documents filters by keys and images only")
        # Before, a row is its writer's own business, and would be passed over.
        self.assertGreater(mapping["MaximumBatchingWindowInSeconds"], limit_seconds("OUTBOX_GRACE"))

    def test_a_job_that_fails_comes_again_alone_and_in_the_end_lies_with_the_dead(self):
        self.assertEqual(self.mapping("JobQueue")["FunctionResponseTypes"], ["ReportBatchItemFailures"])
        queue = properties(MAIN, "JobQueue")
        self.assertEqual(queue["RedrivePolicy"]["deadLetterTargetArn"], {"Fn::GetAtt": ["DeadJobs", "Arn"]})
        receives = int(re.search(r"JOB_RECEIVES: u32 = (\d+)", read("crates/domain/src/limits.rs"))[1])
        self.assertEqual(queue["RedrivePolicy"]["maxReceiveCount"], receives)
        # Else it would be gone before it has failed that often.
        self.assertGreater(queue["MessageRetentionPeriod"], receives * queue["VisibilityTimeout"])
        self.assertEqual(properties(MAIN, "DeadJobs")["MessageRetentionPeriod"], 14 * 24 * 3600)

    def test_large_groups_leave_executions_to_the_api(self):
        most = self.mapping("JobQueue")["ScalingConfig"]["MaximumConcurrency"]
        # Lambda takes 2 to 1,000.
        self.assertTrue(2 <= most <= 50, most)

    def test_a_job_stays_hidden_for_six_times_as_long_as_the_function_may_take(self):
        function, queue = properties(MAIN, "FanoutFunction"), properties(MAIN, "JobQueue")
        self.assertGreaterEqual(queue["VisibilityTimeout"], 6 * function["Timeout"])
        self.assertGreater(function["Timeout"], limit_seconds("LINK_TIME") + limit_seconds("LAMBDA_RESERVE"))

    def test_the_sweeper_looks_every_minute(self):
        (rule,) = of_type(MAIN, "AWS::Events::Rule").values()
        self.assertEqual(rule["ScheduleExpression"], "rate(1 minute)")
        self.assertEqual(rule["Targets"][0]["Arn"], {"Fn::GetAtt": ["FanoutFunction", "Arn"]})

    def test_queues_are_encrypted_and_have_the_names_that_the_code_would_give_them(self):
        jobs = read("crates/queue/src/jobs.rs")
        for name, word in {"JobQueue": "fanout", "DeadJobs": "fanout-dead"}.items():
            queue = properties(MAIN, name)
            self.assertTrue(queue["SqsManagedSseEnabled"])
            self.assertEqual(queue["QueueName"], {"Fn::Sub": f"runnel-${{Stage}}-{word}"})
            self.assertIn(f'"{word}"', jobs)

    def test_logs_end_and_every_function_writes_to_one_of_them(self):
        for path in ("template.yaml", "infra/edge.yaml"):
            for name, group in of_type(ALL[path], "AWS::Logs::LogGroup").items():
                self.assertEqual(group.get("RetentionInDays"), {"Ref": "LogDays"}, name)
        for function in of_type(MAIN, "AWS::Lambda::Function").values():
            self.assertEqual(function["LoggingConfig"]["LogFormat"], "JSON")
            self.assertIn(function["LoggingConfig"]["LogGroup"]["Ref"], MAIN["Resources"])
        # Any other access log takes room in a policy of the account, which may be full.
        given = properties(MAIN, "ApiStage")["AccessLogSettings"]["DestinationArn"]["Fn::GetAtt"][0]
        self.assertTrue(properties(MAIN, given)["LogGroupName"]["Fn::Sub"].startswith("/aws/vendedlogs/"))

    def test_sam_may_make_what_the_templates_have(self):
        deploy = tomllib.loads(read("samconfig.toml"))["default"]["deploy"]["parameters"]
        self.assertEqual(set(deploy["capabilities"].split()), {"CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"})
        for stack in ALL.values():
            # A named role would need another capability.
            for role in (r for r in stack["Resources"].values() if r["Type"] == "AWS::IAM::Role"):
                self.assertNotIn("RoleName", role["Properties"])

    def mapping(self, source):
        for mapping in of_type(MAIN, "AWS::Lambda::EventSourceMapping").values():
            if mapping["EventSourceArn"]["Fn::GetAtt"][0] == source:
                return mapping
        self.fail(f"nothing comes from {source}")
