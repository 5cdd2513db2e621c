"""Who may do what: enough for the calls that the code makes, and no more."""

import re
import unittest

from stack import ALL, EDGE, MAIN, of_type, properties, read, sources

# What AWS grants on everything or not at all.
EVERYTHING = {"dynamodb:ListStreams", "ecr:GetAuthorizationToken"}


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
    camel = {"".join(part.title() for part in name.split("_")) for name in found}
    return {name.removesuffix("Batch") for name in camel}


class Rights(unittest.TestCase):
    def policies(self):
        for path, stack in ALL.items():
            for name, resource in stack["Resources"].items():
                if resource["Type"].startswith("AWS::IAM::"):
                    yield f"{path} {name}", resource["Properties"]

    def test_nothing_is_granted_on_everything_that_can_be_granted_on_less(self):
        self.assertGreater(len(list(self.policies())), 4)
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
                            self.assertTrue(text.endswith(":runnel-${Stage}-*"), text)

    def test_no_policy_is_one_of_aws(self):
        for name, policy in self.policies():
            for arn in policy.get("ManagedPolicyArns", []):
                self.assertEqual(arn, {"Ref": "WriteSide"}, name)
        roles = of_type(MAIN, "AWS::IAM::Role")
        self.assertEqual(set(roles), {"ApiRole", "FanoutRole"}, "SAM has made a role with AWS's policies")

    def test_the_write_side_may_do_what_its_code_does(self):
        store = "\n".join(read(f"crates/store/src/{path.name}") for path in self.store())
        wanted = calls(store, "dynamodb") | {"ConditionCheckItem"}
        self.assertIn("ConditionCheck::builder()", store)
        write_side = properties(MAIN, "WriteSide")
        self.assertEqual(allowed(write_side, "dynamodb"), wanted)
        self.assertEqual(allowed(write_side, "sqs"), {"SendMessage"})

    def test_an_edge_may_do_what_its_code_does_and_write_no_thread(self):
        role = properties(EDGE, "EdgeRole")
        queues = calls(sources("crates/queue/src"), "sqs")
        self.assertEqual(allowed(role, "sqs"), queues - {"SendMessage"})
        reads = {"DescribeTable", "GetItem", "BatchGetItem", "Query"}
        writes = {"PutItem", "UpdateItem", "DeleteItem"}
        self.assertEqual(allowed(role, "dynamodb"), reads | writes)
        for s in statements(role):
            if s["Effect"] == "Allow" and {f"dynamodb:{w}" for w in writes} & set(listed(s["Action"])):
                keys = s["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
                self.assertEqual(set(keys), {"U#*", "QUEUES#*", "EDGE", "K#*"})

    def test_an_edge_stays_away_from_the_jobs(self):
        (deny,) = [s for s in statements(properties(EDGE, "EdgeRole")) if s["Effect"] == "Deny"]
        self.assertEqual(deny["Action"], "sqs:*")
        names = {r["Fn::Sub"].rsplit(":", 1)[1] for r in deny["Resource"]}
        made = {q["QueueName"]["Fn::Sub"] for q in of_type(MAIN, "AWS::SQS::Queue").values()}
        self.assertEqual(names, made)

    @staticmethod
    def store():
        from stack import ROOT
        # What `runnel repair` does, it does with an operator's rights.
        return [p for p in sorted((ROOT / "crates/store/src").glob("*.rs")) if p.name != "repair.rs"]
