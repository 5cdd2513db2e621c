"""Who may do what: enough for the calls that the code makes, and no more."""

import re
import unittest

from stack import ALL, EDGE, MAIN, of_type, properties, read, sources

# What AWS grants on everything or not at all.
EVERYTHING = {"ecr:GetAuthorizationToken"}
# Names that are not known beforehand: the queues of this stage, the streams of this table, and the
# repositories that the edge's image may be pulled from.
OPEN_ENDS = (":runnel-${Stage}-*", "${Table.Arn}/stream/*", ":ecr:*:*:repository/*")


def listed(value):
    return value if isinstance(value, list) else [value]


def statements(resource):
    documents = [p["PolicyDocument"] for p in resource.get("Policies", [])]
    documents += [resource["PolicyDocument"]] if "PolicyDocument" in resource else []
    return [s for document in documents for s in document["Statement"]]


def allowed(resource, service):
    return {
        action.removeprefix(f"{service}:")
        for s in statements(resource) if s["Effect"] == "Allow"
        for action in listed(s["Action"]) if action.startswith(f"{service}:")
    }


def calls(text, client):
    """The operations of a client that some source calls, as their permissions are named."""
    known = {
        "dynamodb": "describe_table get_item batch_get_item query scan put_item update_item delete_item",
        "sqs": "create_queue get_queue_url send_message receive_message delete_message_batch delete_queue",
    }
    found = {name for name in known[client].split() if re.search(rf"\.{name}\(\)", text)}
    if client == "dynamodb" and "ConditionCheck::builder()" in text:
        found.add("condition_check_item")
    camel = {"".join(part.title() for part in name.split("_")) for name in found}
    return {name.removesuffix("Batch") for name in camel}


class Rights(unittest.TestCase):
    def policies(self):
        for path, stack in ALL.items():
            for name, resource in stack["Resources"].items():
                if resource["Type"].startswith("AWS::IAM::"):
                    yield f"{path} {name}", resource["Properties"]

    def test_nothing_is_granted_on_everything_that_can_be_granted_on_less(self):
        self.assertGreaterEqual(len(list(self.policies())), 4)
        for name, policy in self.policies():
            for s in statements(policy):
                if s["Effect"] == "Deny":
                    continue
                actions, resources = set(listed(s["Action"])), listed(s["Resource"])
                with self.subTest(f"{name} {sorted(actions)}"):
                    self.assertFalse([a for a in actions if a.endswith("*")])
                    if "*" in resources:
                        self.assertLessEqual(actions, EVERYTHING)
                    for resource in resources:
                        text = resource.get("Fn::Sub", "") if isinstance(resource, dict) else ""
                        if "*" in text:
                            self.assertTrue(text.endswith(OPEN_ENDS), text)

    def test_no_policy_is_one_of_aws(self):
        for name, policy in self.policies():
            self.assertNotIn("ManagedPolicyArns", policy, name)
        roles = of_type(MAIN, "AWS::IAM::Role")
        self.assertEqual(set(roles), {"ApiRole", "FanoutRole"}, "SAM has made a role with AWS's policies")

    def test_the_write_side_may_do_what_its_code_does(self):
        store = "\n".join(path.read_text() for path in self.store())
        wanted = calls(store, "dynamodb")
        stream = {"DescribeStream", "GetRecords", "GetShardIterator", "ListStreams"}
        jobs = {"ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes"}
        api, fanout = properties(MAIN, "ApiRole"), properties(MAIN, "FanoutRole")
        self.assertEqual(allowed(api, "dynamodb"), wanted)
        post = {"GetQueueUrl", "SendMessage"}
        self.assertEqual(allowed(api, "sqs"), post)
        # Beside its own work, what Lambda does in its name to bring it events.
        self.assertEqual(allowed(fanout, "dynamodb"), wanted | stream)
        self.assertEqual(allowed(fanout, "sqs"), post | jobs)

    def test_an_edge_may_do_what_its_code_does_and_write_no_thread(self):
        role = properties(EDGE, "EdgeRole")
        queues = calls(sources("crates/queue/src"), "sqs")
        self.assertEqual(allowed(role, "sqs"), queues - {"SendMessage"})
        reads = {"DescribeTable", "GetItem", "BatchGetItem", "Query"}
        writes = {"PutItem", "UpdateItem", "DeleteItem"}
        self.assertEqual(allowed(role, "dynamodb"), reads | writes)
        for s in statements(role):
            if s["Effect"] == "Allow" and {f"dynamodb:{w}" for w in writes} & set(listed(s["Action"])):
                keys = set(s["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"])
                # What stands beside a user row is none of its business, so there it may put and delete nothing.
                of_users = listed(s["Action"]) == ["dynamodb:UpdateItem"]
                self.assertEqual(keys, {"U#*"} if of_users else {"QUEUES#*", "EDGE", "K#*"})

    def test_an_edge_stays_away_from_the_jobs(self):
        (deny,) = [s for s in statements(properties(EDGE, "EdgeRole")) if s["Effect"] == "Deny"]
        self.assertEqual(deny["Action"], "sqs:*")
        denied = deny["Resource"]["Fn::Sub"].rsplit(":", 1)[1].removesuffix("*")
        for queue in of_type(MAIN, "AWS::SQS::Queue").values():
            self.assertTrue(queue["QueueName"]["Fn::Sub"].startswith(denied))

    @staticmethod
    def store():
        from stack import ROOT
        # What `runnel repair` does, it does with an operator's rights.
        source = ROOT / "crates/store/src"
        return [p for p in sorted(source.rglob("*.rs")) if p.relative_to(source).with_suffix("").parts[0] != "repair"]
