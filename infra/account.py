"""What is in the AWS account already, and whether a deployment can go there."""

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

# What AWS answers to credentials, by its codes: services spell them unlike each other.
EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
UNKNOWN = ("InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure")
FORGED = ("SignatureDoesNotMatch", "InvalidSignatureException")
DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")

# A stack in one of these takes no deployment, until it is deleted or until what hinders it is gone.
DEAD = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED")
STUCK = ("UPDATE_ROLLBACK_FAILED",)


class Wrong(Exception):
    """What to do, in one sentence."""


def refused(error):
    """What to do about an answer that is none."""
    code, said = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    if code in EXPIRED:
        return "the AWS credentials have expired: get new ones, for instance by `aws sso login`"
    if code in UNKNOWN:
        return "AWS does not know the access key: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, to one that is valid"
    if code in FORGED:
        return "AWS does not accept the signature: AWS_SECRET_ACCESS_KEY is not that of AWS_ACCESS_KEY_ID, or this machine's clock is wrong"
    if code in DENIED:
        return f"the AWS credentials may not do what a deployment needs, so use those of an administrator: {said}"
    return f"AWS does not say what is there already: {code}: {said}"


def found(ask, *missing):
    """What AWS answers; nothing, if it says that there is no such thing."""
    try:
        return ask()
    except NoCredentialsError:
        raise Wrong("there are no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from None
    except PartialCredentialsError as error:
        raise Wrong(f"half of the AWS credentials is missing: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY both ({error})") from None
    except ProfileNotFound as error:
        raise Wrong(f"AWS_PROFILE names what ~/.aws/config does not have: {error}") from None
    except (SSOError, TokenRetrievalError):
        raise Wrong("the AWS sign-in has expired: `aws sso login`") from None
    except NoRegionError:
        raise Wrong("there is no AWS region: set AWS_DEFAULT_REGION, such as eu-central-1") from None
    except EndpointConnectionError as error:
        raise Wrong(f"AWS cannot be reached: {error}") from None
    except BotoCoreError as error:
        raise Wrong(f"the AWS credentials or settings cannot be used: {error}") from None
    except ClientError as error:
        if error.response["Error"]["Code"] in missing:
            return None
        raise Wrong(refused(error)) from None


def there(name):
    """The stack of that name, if there is one."""
    formation = found(lambda: boto3.client("cloudformation"))
    answer = found(lambda: formation.describe_stacks(StackName=name), "ValidationError")
    stacks = answer["Stacks"] if answer else []
    # One that was only ever planned is none.
    return next((stack for stack in stacks if stack["StackStatus"] != "REVIEW_IN_PROGRESS"), None)


def parameters_of(stack):
    return {p["ParameterKey"]: p.get("ParameterValue", "") for p in (stack or {}).get("Parameters", [])}


def usable(name, stack):
    """The stack has to be ours, and in a state that takes a deployment."""
    status = stack["StackStatus"]
    if not {"Stage", "JwtIssuer"} <= set(parameters_of(stack)):
        raise Wrong(f"stack name `{name}` is taken by something else: choose another with --stack-name")
    if status in DEAD:
        raise Wrong(f"stack `{name}` is broken ({status}): `sam delete --stack-name {name}`, then deploy again")
    if status in STUCK:
        raise Wrong(f"stack `{name}` is stuck ({status}): `aws cloudformation continue-update-rollback --stack-name {name}`, then deploy again")
    if status.endswith("_IN_PROGRESS"):
        raise Wrong(f"stack `{name}` is being changed ({status}): wait until that has ended")


def free(name, stack, stage):
    """Stack and stage have to be new, or each other's."""
    if stack:
        usable(name, stack)
        has = parameters_of(stack)["Stage"]
        if has != stage:
            raise Wrong(f"stack name `{name}` is taken by stage `{has}`: a second stage is a second stack, so choose another with --stack-name")
        return
    table = f"runnel-{stage}"
    database = boto3.client("dynamodb")
    if found(lambda: database.describe_table(TableName=table), "ResourceNotFoundException"):
        raise Wrong(f"stage `{stage}` is taken: table `{table}` is there, of another stack or of a deleted one; choose another Stage, or delete the table")
