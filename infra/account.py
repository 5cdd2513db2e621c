"""Checks whether the AWS account can accept the deployment."""

import boto3
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

# Error codes of AWS for bad credentials. Several for one error, because services spell it differently.
EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
UNKNOWN = ("InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure")
FORGED = ("SignatureDoesNotMatch", "InvalidSignatureException")
DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")

# A stack in one of these states accepts no deployment. DEAD: delete the stack. STUCK: continue its rollback.
DEAD = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED")
STUCK = ("UPDATE_ROLLBACK_FAILED",)


# Ids of zones, which are the same in every account, unlike their names. In these CloudFront has no VPC origins
# (CloudFront developer guide, "Supported AWS Regions for VPC origins") or ECS no Fargate.
UNUSABLE_ZONES = ("use1-az3", "usw1-az2", "apne1-az3", "cac1-az3")


class Wrong(Exception):
    """A problem and its remedy, in one sentence."""


def refused(error):
    """The problem and its remedy for an error of AWS."""
    code, said = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    if code in EXPIRED:
        return "the AWS credentials have expired: get new ones, for example with `aws sso login`"
    if code in UNKNOWN:
        return "AWS does not know the access key: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, to valid credentials"
    if code in FORGED:
        return "AWS rejects the signature: check that AWS_SECRET_ACCESS_KEY belongs to AWS_ACCESS_KEY_ID, and that this machine's clock is right"
    if code in DENIED:
        return f"the AWS credentials lack a permission that a deployment needs, so use those of an administrator: {said}"
    return f"a request to AWS failed: {code}: {said}"


def found(ask, *missing):
    """The answer of AWS, or None if its error code is one of `missing`."""
    try:
        return ask()
    except NoCredentialsError:
        raise Wrong("there are no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from None
    except PartialCredentialsError as error:
        raise Wrong(f"half of the AWS credentials is missing, so set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: {error}") from None
    except ProfileNotFound as error:
        raise Wrong(f"AWS_PROFILE names a profile that ~/.aws/config does not have: {error}") from None
    except (SSOError, TokenRetrievalError):
        raise Wrong("the AWS sign-in has expired: run `aws sso login`") from None
    except NoRegionError:
        raise Wrong("there is no AWS region: set AWS_DEFAULT_REGION, for example to eu-central-1") from None
    except EndpointConnectionError as error:
        raise Wrong(f"AWS cannot be reached: {error}") from None
    except BotoCoreError as error:
        raise Wrong(f"the AWS credentials or settings do not work: {error}") from None
    except ClientError as error:
        if error.response["Error"]["Code"] in missing:
            return None
        raise Wrong(refused(error)) from None


def there(name):
    """The stack of that name, or None."""
    formation = found(lambda: boto3.client("cloudformation"))
    answer = found(lambda: formation.describe_stacks(StackName=name), "ValidationError")
    stacks = answer["Stacks"] if answer else []
    # A stack under review has only a change set, so it does not exist yet.
    return next((stack for stack in stacks if stack["StackStatus"] != "REVIEW_IN_PROGRESS"), None)


def usable_zones(given):
    """Checks that VPC origins and Fargate exist in the two zones of the VPC that the stack creates."""
    computing = found(lambda: boto3.client("ec2"))
    zones = found(lambda: computing.describe_availability_zones(Filters=[{"Name": "zone-type", "Values": ["availability-zone"]}]))
    ids = {zone["ZoneName"]: zone["ZoneId"] for zone in zones["AvailabilityZones"]}
    names = [name for name in given.split(",") if name] or sorted(ids)[:2]
    others = [name for name in sorted(ids) if ids[name] not in UNUSABLE_ZONES]
    for name in names:
        if name not in ids:
            raise Wrong(f"zone `{name}` is none of this region: set Zones={','.join(others[:2])}")
        if ids[name] in UNUSABLE_ZONES:
            raise Wrong(f"zone `{name}` ({ids[name]}) has no VPC origins of CloudFront or no Fargate: set Zones={','.join(others[:2])}")


def parameters_of(stack):
    return {p["ParameterKey"]: p.get("ParameterValue", "") for p in (stack or {}).get("Parameters", [])}


def usable(name, stack):
    """Checks that the stack is one of Runnel, in a state that accepts a deployment."""
    status = stack["StackStatus"]
    if not {"Stage", "JwtIssuer"} <= set(parameters_of(stack)):
        raise Wrong(f"stack name `{name}` is taken by something else: choose another name with --stack-name")
    if status in DEAD:
        raise Wrong(f"stack `{name}` is broken ({status}): run `sam delete --stack-name {name}`, then deploy again")
    if status in STUCK:
        raise Wrong(f"stack `{name}` is stuck ({status}): run `aws cloudformation continue-update-rollback --stack-name {name}`, then deploy again")
    if status.endswith("_IN_PROGRESS"):
        raise Wrong(f"stack `{name}` is changing ({status}): wait until the change has ended")


def free(name, stack, stage):
    """Checks that stack and stage are both new, or belong together."""
    if stack:
        usable(name, stack)
        has = parameters_of(stack)["Stage"]
        if has != stage:
            raise Wrong(f"stack name `{name}` is taken by stage `{has}`: each stage needs its own stack, so choose another name with --stack-name")
        return
    table = f"runnel-{stage}"
    database = boto3.client("dynamodb")
    if found(lambda: database.describe_table(TableName=table), "ResourceNotFoundException"):
        raise Wrong(f"stage `{stage}` is taken by table `{table}` of another stack or of a deleted one: choose another Stage, or delete the table")
