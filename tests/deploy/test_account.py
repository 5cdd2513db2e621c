"""What `infra/check.py` says of credentials and of stacks that are there."""

import os
import sys
import unittest
from unittest import mock

import boto3
from botocore.exceptions import ClientError, EndpointConnectionError, PartialCredentialsError, UnauthorizedSSOTokenError
from stack import ROOT

sys.path.insert(0, str(ROOT / "infra"))
import account  # noqa: E402

NOTHING = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


def answer(code):
    return ClientError({"Error": {"Code": code, "Message": "as AWS puts it"}}, "DescribeStacks")


def raises(error):
    def ask():
        raise error
    return ask


def stack(status, stage="prod"):
    parameters = {"Stage": stage, "JwtIssuer": "https://id.example.com"}
    return {"StackStatus": status, "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()]}


class Account(unittest.TestCase):
    def says(self, *words, call):
        with self.assertRaises(account.Wrong) as raised:
            call()
        for word in words:
            self.assertIn(word, str(raised.exception))

    def asks_with(self, **environment):
        # The default session remembers what it has found.
        with mock.patch.dict(os.environ, {**NOTHING, **environment}, clear=True):
            boto3.DEFAULT_SESSION = None
            try:
                account.there("runnel")
            finally:
                boto3.DEFAULT_SESSION = None

    def test_missing_credentials_are_asked_for(self):
        region = {"AWS_DEFAULT_REGION": "us-east-1"}
        self.says("there are no AWS credentials", "AWS_PROFILE", call=lambda: self.asks_with(**region))
        self.says("half", "AWS_SECRET_ACCESS_KEY", call=lambda: self.asks_with(**region, AWS_ACCESS_KEY_ID="a"))
        self.says("nobody", "~/.aws/config", call=lambda: self.asks_with(**region, AWS_PROFILE="nobody"))
        self.says("AWS_DEFAULT_REGION", call=lambda: self.asks_with(AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b"))

    def test_credentials_that_are_refused_are_told_apart(self):
        for error, word in (
            (answer("ExpiredToken"), "expired"), (answer("ExpiredTokenException"), "expired"),
            (answer("InvalidClientTokenId"), "access key"), (answer("UnrecognizedClientException"), "access key"),
            (answer("SignatureDoesNotMatch"), "clock"), (answer("AccessDenied"), "as AWS puts it"),
            (answer("Throttling"), "Throttling: as AWS puts it"),
            (PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), "half"),
            (UnauthorizedSSOTokenError(), "aws sso login"),
            (EndpointConnectionError(endpoint_url="https://cloudformation.example"), "cannot be reached"),
        ):
            with self.subTest(error):
                self.says(word, call=lambda: account.found(raises(error)))
        self.assertIsNone(account.found(raises(answer("ValidationError")), "ValidationError"))

    def test_a_stack_that_takes_no_deployment_says_how_it_would(self):
        for status, word in {
            "CREATE_FAILED": "sam delete --stack-name runnel", "ROLLBACK_COMPLETE": "sam delete --stack-name runnel",
            "ROLLBACK_FAILED": "sam delete", "DELETE_FAILED": "sam delete", "UPDATE_ROLLBACK_FAILED": "continue-update-rollback",
            "CREATE_IN_PROGRESS": "wait", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": "wait",
        }.items():
            with self.subTest(status):
                self.says(status, word, call=lambda: account.free("runnel", stack(status), "prod"))
        for status in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE"):
            account.free("runnel", stack(status), "prod")

    def test_zones_that_cloudfront_or_fargate_cannot_use_are_named(self):
        zones = {"us-east-1a": "use1-az3", "us-east-1b": "use1-az1", "us-east-1c": "use1-az2"}
        answer = {"AvailabilityZones": [{"ZoneName": n, "ZoneId": i} for n, i in zones.items()]}
        ec2 = mock.Mock(describe_availability_zones=mock.Mock(return_value=answer))
        with mock.patch.object(account.boto3, "client", return_value=ec2):
            self.says("us-east-1a", "use1-az3", "Zones=us-east-1b,us-east-1c", call=lambda: account.usable_zones(""))
            self.says("us-east-1a", "Zones=us-east-1b,us-east-1c", call=lambda: account.usable_zones("us-east-1b,us-east-1a"))
            self.says("us-west-1a", "none of this region", call=lambda: account.usable_zones("us-west-1a,us-west-1b"))
            account.usable_zones("us-east-1b,us-east-1c")

    def test_a_name_that_is_taken_is_left_alone(self):
        other = {"StackStatus": "ROLLBACK_COMPLETE", "Parameters": []}
        self.says("something else", "--stack-name", call=lambda: account.free("runnel", other, "prod"))
        self.says("stage `test`", "--stack-name", call=lambda: account.free("runnel", stack("CREATE_COMPLETE", "test"), "prod"))
