"""Deploys what `sam build` has built, drives it through its public doors, and takes it down again.

    story.py BUILT_TEMPLATE MINISTACK SSE_EDGE

ministack knows no rights by leading keys, so that an edge writes no thread is left to test_rights.py. It
asks for a right sqs:DeleteMessageBatch that AWS does not have (DeleteMessage grants both), so acks fail here
and envelopes come twice, which changes nothing that is asked.

ministack has no VPC origins. So CloudFront gets the load balancer as an origin on the internet here, and all requests
go to the load balancer itself. What CloudFront and a load balancer of bytes do, test_edge.py holds by the template.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

from botocore.exceptions import ClientError
from cloud import ROOT, Cloud, Issuer, free_port, listens, ships, until
from cold import emulators_in, small, starts_soon
from doors import Doors
from relay import Relay
from samtranslator.yaml_helper import yaml_parse

STACK, STAGE = "runnel-story", "story"
# What the edges answer to everybody, so that no function starts for it.
OPEN = ("/v1/health", "/v1/openapi.json")


def say(what):
    print(f"{time.strftime('%T')}  {what}", flush=True)


def parameters(issuer):
    return [f"{name}={value}" for name, value in {
        "Stage": STAGE, "Architecture": "x86_64", "JwtIssuer": issuer.url, "JwtAudience": "runnel",
        "EdgeImage": "runnel-edge:story", "Autoscaling": "false", "DeletionProtection": "false",
    }.items()]


def check(cloud, built, *given):
    """What infra/check.py says; nothing, if all is well."""
    command = [sys.executable, "-B", str(ROOT / "infra/check.py"), "--built", str(Path(built).parent), *given]
    return subprocess.run(command, env=cloud.environment, text=True, capture_output=True).stderr


def without_vpc_origin(built):
    """Takes out of the edges' template what ministack cannot make."""
    path = Path(built).parent / "Edge/template.yaml"
    edge = yaml_parse(path.read_text())
    edge["Resources"].pop("Origin", None)
    for origin in edge["Resources"]["Front"]["Properties"]["DistributionConfig"]["Origins"]:
        if origin.pop("VpcOriginConfig", None):
            origin["CustomOriginConfig"] = {"OriginProtocolPolicy": "http-only"}
    path.write_text(json.dumps(edge))


def deploy(cloud, issuer, built):
    given = parameters(issuer)
    said = check(cloud, built, "--stack-name", STACK, *given)
    assert not said, said
    return cloud.sam("deploy", "--config-file", str(ROOT / "samconfig.toml"), "-t", built, "--stack-name", STACK,
                     "--parameter-overrides", *given)


def what_cannot_be_deployed_is_said_before(cloud, issuer, built):
    given = parameters(issuer)
    for wrong, word in (
        (["--stack-name", STACK, *given, "Stage=other"], f"taken by stage `{STAGE}`"),
        (["--stack-name", "runnel-other", *given], f"stage `{STAGE}` is taken"),
        (["--stack-name", "runnel-other", *given, "Stage=other", "Architecture=arm64"], "is built for x86_64"),
        (["--stack-name", "runnel-other", "Stage=other"], "`JwtIssuer=…` is missing"),
    ):
        said = check(cloud, built, *wrong)
        assert said.startswith("error: ") and said.count("\n") == 1 and word in said, said
    say("a taken stack, a taken stage, a wrong architecture and a missing parameter are said in a sentence each")


def functions_are_small_and_start_soon(cloud, issuer, out, built, edge):
    folder, edge = Path(built).parent, Path(edge)
    functions = sorted(folder.glob("*/bootstrap"))
    assert len(functions) == 2, functions
    sizes = ", ".join(f"{p.parent.name} {small(p):.1f} MiB" for p in functions)
    for program in (*functions, edge):
        ships(program)
        assert not emulators_in(program), f"{program} has {emulators_in(program)} in it"
    assert len(emulators_in(edge.with_name("runnel"))) == 3, "the one process has what is looked for"
    rights = as_role(cloud, out["ApiRoleArn"])
    environment = {
        **{k: v for k, v in cloud.environment.items() if k.startswith("AWS_")}, **{k.upper(): v for k, v in rights.items()},
        "RUNNEL_STAGE": STAGE, "RUNNEL_TABLE": out["TableName"], "RUNNEL_FANOUT_QUEUE": out["JobQueueUrl"],
        "RUNNEL_JWT_ISSUER": issuer.url, "RUNNEL_JWT_AUDIENCE": "runnel", "RUNNEL_JWKS_URL": f"{issuer.url}/.well-known/jwks.json",
    }
    soon = starts_soon(folder / "ApiFunction/bootstrap", environment)
    say(f"{sizes}, without an emulator; the API took {soon}")


def outputs(cloud):
    [stack] = cloud.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def doors_of(cloud, out):
    return Doors(cloud.endpoint, out["ApiId"], out["LoadBalancer"])


def as_role(cloud, arn):
    got = cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName="story")["Credentials"]
    return {"aws_access_key_id": got["AccessKeyId"], "aws_secret_access_key": got["SecretAccessKey"],
            "aws_session_token": got["SessionToken"]}


def run_edge(cloud, issuer, out, program, number, **settings):
    """An edge with the rights of its task."""
    rights, port = as_role(cloud, out["EdgeRoleArn"]), free_port()
    api = cloud.client("lambda").get_function_configuration(FunctionName=out["ApiFunctionName"])
    task = {
        "RUNNEL_LISTEN": f"127.0.0.1:{port}", "RUNNEL_STAGE": STAGE, "RUNNEL_TABLE": out["TableName"],
        "RUNNEL_JWKS_URL": f"{issuer.url}/.well-known/jwks.json", "RUNNEL_JWT_ISSUER": issuer.url,
        "RUNNEL_JWT_AUDIENCE": "runnel", "RUNNEL_LOG_FORMAT": "json", "RUNNEL_REAP_SECONDS": "5",
        "RUNNEL_DRAIN_SECONDS": "2", "RUNNEL_LINGER_SECONDS": "1",
        # No RUNNEL_QUEUE_SENDERS: the emulator knows no `aws:PrincipalArn`, so that it would deny all posts.
        "RUNNEL_QUEUE_KEY": api["Environment"]["Variables"]["RUNNEL_QUEUE_KEY"], **settings,
    }
    return cloud.start(f"edge{number}", [program], {**task, **{k.upper(): v for k, v in rights.items()}}), port


def start_edge(cloud, issuer, out, program, number):
    """An edge that the load balancer knows: what ECS would do."""
    edge, port = run_edge(cloud, issuer, out, program, number)
    targets = cloud.client("elbv2")
    targets.register_targets(TargetGroupArn=out["TargetGroup"], Targets=[{"Id": "127.0.0.1", "Port": port}])
    return edge, port


def only_tokens_come_in(doors, issuer):
    for path in OPEN:
        assert doors.ask("GET", path)[0] == 401, path
    assert doors.ask("DELETE", "/v1/session", issuer.token("alice"))[0] == 204
    for token in (None, "junk", issuer.token("alice", audience="other"), issuer.token("alice", lives=-600)):
        assert doors.ask("GET", "/v1/threads", token)[0] == 401, token
        assert doors.ask("POST", "/v1/threads", token, {"members": ["bob"]})[0] == 401, token
        assert doors.ask("DELETE", "/v1/session", token)[0] == 401, token
    say("only genuine tokens come in")


def messages_come_through(doors, alice, bob):
    thread = doors.do("POST", "/v1/threads", alice, {"members": ["bob"]})["id"]
    stream = doors.stream(bob)
    assert stream.next("hello")[1]["status"] == "fresh"
    doors.do("POST", f"/v1/threads/{thread}/messages", alice, {"text": "hi"})
    _, data, cursor = stream.next("message", "reset")
    assert data["text"] == "hi", data
    stream.close()
    for text in ("while you were away", "and again"):
        doors.do("POST", f"/v1/threads/{thread}/messages", alice, {"text": text})
    stream = doors.stream(bob, cursor)
    assert stream.next("hello")[1]["status"] == "resumed"
    missed = [stream.next("message", "reset")[1]["text"] for _ in range(2)]
    assert missed == ["while you were away", "and again"], missed
    say("a message came through API, table, queue, edge and balancer; a cut stream missed nothing")
    return thread, stream


def a_large_group_hears(cloud, doors, alice, bob, out):
    crowd = [f"user{i}" for i in range(60)]
    thread = doors.do("POST", "/v1/threads", alice, {"members": ["bob", *crowd[:38]], "title": "all"})["id"]
    for user in crowd[38:]:
        doors.do("PUT", f"/v1/threads/{thread}/members/{user}", alice)
    doors.do("POST", f"/v1/threads/{thread}/messages", alice, {"text": "to all"})
    table = cloud.client("dynamodb")

    def told(user):
        """Whether the last event of the inbox is a message: the second byte of an entry tells."""
        key = {"pk": {"S": f"U#{user}"}, "sk": {"S": "HEAD"}}
        row = table.get_item(TableName=out["TableName"], Key=key, ConsistentRead=True).get("Item", {})
        entries = row.get("entries", {"L": []})["L"]
        return bool(entries) and entries[-1]["B"][1] == 3

    until("each of 62 members has the message", lambda: all(told(user) for user in crowd), 120)
    until("no fan-out is owed", lambda: not owed(cloud, out))
    say("a group of 62 heard of a message by jobs of the fan-out queue")
    return thread


def owed(cloud, out):
    table, rows = cloud.client("dynamodb"), []
    for shard in range(16):
        rows += table.query(TableName=out["TableName"], KeyConditionExpression="pk = :shard",
                            ExpressionAttributeValues={":shard": {"S": f"O#{shard}"}})["Items"]
    return rows


def what_a_writer_left_is_finished(cloud, doors, alice, out, thread):
    """Jobs are lost; the row in the outbox stays, until the stream or the schedule comes to it."""
    jobs = cloud.client("lambda").list_event_source_mappings(FunctionName=out["FanoutFunctionName"])
    [mapping] = [m["UUID"] for m in jobs["EventSourceMappings"] if ":sqs:" in m["EventSourceArn"]]
    cloud.client("lambda").update_event_source_mapping(UUID=mapping, Enabled=False)
    doors.do("POST", f"/v1/threads/{thread}/messages", alice, {"text": "left behind"})
    cloud.client("sqs").purge_queue(QueueUrl=out["JobQueueUrl"])
    assert owed(cloud, out), "the outbox knows of it"
    cloud.client("lambda").update_event_source_mapping(UUID=mapping, Enabled=True)
    until("the outbox is empty again", lambda: not owed(cloud, out), 180)
    say("a fan-out whose job was lost was completed")


def an_edge_drains(cloud, doors, issuer, out, program, edge, port, stream, alice, bob, thread):
    targets = cloud.client("elbv2")
    ended = []
    reader = Thread(target=lambda: ended.extend(stream))
    reader.start()
    targets.deregister_targets(TargetGroupArn=out["TargetGroup"], Targets=[{"Id": "127.0.0.1", "Port": port}])
    # Only now: the emulator tells targets apart by their addresses alone.
    other, _ = start_edge(cloud, issuer, out, program, 2)
    edge.terminate()
    assert edge.wait(60) == 0
    reader.join(30)
    name, data, cursor = ended[-1]
    assert (name, data["reason"]) == ("bye", "drain"), ended
    until("the other edge is reached", lambda: doors.behind("/v1/ready") == 200)
    doors.do("POST", f"/v1/threads/{thread}/messages", alice, {"text": "after the drain"})
    stream = doors.stream(bob, cursor)
    assert stream.next("message", "reset")[1]["text"] == "after the drain"
    stream.close()
    say("an edge drained on SIGTERM, and its stream went on at another")
    return other


def denied(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return "Denied" in error.response["Error"]["Code"]
    return False


def roles_allow_no_more(cloud, out):
    edge, api = as_role(cloud, out["EdgeRoleArn"]), as_role(cloud, out["ApiRoleArn"])
    sqs = cloud.client("sqs", edge)
    assert denied(sqs.create_queue, QueueName="runnel-other-x")
    assert denied(sqs.receive_message, QueueUrl=out["JobQueueUrl"])
    assert denied(sqs.send_message, QueueUrl=out["JobQueueUrl"], MessageBody="forged")
    table = cloud.client("dynamodb", edge)
    assert denied(table.scan, TableName=out["TableName"])
    assert denied(table.delete_table, TableName=out["TableName"])
    assert denied(cloud.client("dynamodb", api).scan, TableName=out["TableName"])
    assert denied(cloud.client("sqs", api).create_queue, QueueName=f"runnel-{STAGE}-x")
    assert denied(cloud.client("sqs", api).receive_message, QueueUrl=out["JobQueueUrl"])
    say("roles allow what the service does, and nothing beside it")


def left(cloud):
    """The queues of the stage."""
    return set(cloud.client("sqs").list_queues(QueueNamePrefix=f"runnel-{STAGE}-").get("QueueUrls", []))


def queues_of(cloud):
    """Those that edges made."""
    return {url for url in left(cloud) if "-fanout" not in url}


def an_edge_dies(cloud, issuer, out, program):
    """Leaves its queue behind: its address."""
    before = queues_of(cloud)
    edge, port = run_edge(cloud, issuer, out, program, 3, RUNNEL_QUEUES="per-edge")
    until("it listens", lambda: listens(port))
    Doors(f"http://127.0.0.1:{port}", "", "edge").stream(issuer.token("dave")).next("hello")
    [queue] = until("it has made its queue", lambda: queues_of(cloud) - before)
    edge.kill()
    edge.wait(30)
    return queue


def what_nobody_uses_is_reaped(cloud, doors, carol, out, orphan):
    """By the edge that lives, with the rights of its role."""
    table = cloud.client("dynamodb")

    key = {"pk": {"S": "U#carol"}, "sk": {"S": "HEAD"}}

    def lease():
        """The queue, and since when nobody holds it: the attribute is the edge that does, or a time."""
        row = table.get_item(TableName=out["TableName"], Key=key).get("Item", {})
        return next(((name, value.get("N")) for name, value in row.items() if name.startswith("q#")), (None, None))

    stream = doors.stream(carol)
    until("carol's queue is held", lambda: lease()[0] and not lease()[1])
    stream.close()
    name = until("it is given back", lambda: lease()[1] and lease()[0])
    kept = {queue for queue in queues_of(cloud) - {orphan} if not queue.endswith(name.removeprefix("q#"))}
    long_ago = int(time.time() - 73 * 3600) * 1000
    table.update_item(TableName=out["TableName"], Key=key, UpdateExpression="SET #lease = :at",
                      ExpressionAttributeNames={"#lease": name},
                      ExpressionAttributeValues={":at": {"N": str(long_ago)}})
    until("both are gone", lambda: queues_of(cloud) == kept, 120)
    say("the queue of a dead edge, and that of a user who was away for three days, were reaped")


def it_is_taken_down(cloud, issuer, out, built, edge):
    """By the SAM CLI, and then what docs/DEPLOY.md says of queues."""
    edge.terminate()
    assert edge.wait(60) == 0
    said = cloud.sam("delete", "--no-prompts", "--stack-name", STACK, "--region", "us-east-1",
                     AWS_ENDPOINT_URL_CLOUDFORMATION=Relay(cloud.endpoint).url)
    assert "Deleted successfully" in said, said
    gone = {stack["StackStatus"] for stack in cloud.client("cloudformation").list_stacks()["StackSummaries"]
            if stack["StackName"].startswith(STACK)}
    assert gone == {"DELETE_COMPLETE"}, gone
    assert out["TableName"] in cloud.client("dynamodb").list_tables()["TableNames"], "the table is kept"
    said = check(cloud, built, "--stack-name", STACK, *parameters(issuer))
    assert f"stage `{STAGE}` is taken" in said, said
    sqs, urls = cloud.client("sqs"), left(cloud)
    assert urls and urls == queues_of(cloud), urls
    for url in urls:
        sqs.delete_queue(QueueUrl=url)
    until("no queue is left", lambda: not left(cloud))
    say(f"`sam delete` took all but the table, which keeps its stage; users' queues ({len(urls)}) are deleted")


def main(built, ministack, program):
    issuer = Issuer()
    without_vpc_origin(built)
    with Cloud(ministack) as cloud:
        deploy(cloud, issuer, built)
        out = outputs(cloud)
        say(f"deployed: {out['ApiUrl']}")
        what_cannot_be_deployed_is_said_before(cloud, issuer, built)
        functions_are_small_and_start_soon(cloud, issuer, out, built, program)
        doors = doors_of(cloud, out)
        alice, bob = issuer.token("alice"), issuer.token("bob")
        only_tokens_come_in(doors, issuer)
        edge, port = start_edge(cloud, issuer, out, program, 1)
        until("the edge is reached", lambda: doors.behind("/v1/ready") == 200)
        for path in OPEN:
            assert doors.behind(path) == 200, path
        thread, stream = messages_come_through(doors, alice, bob)
        orphan = an_edge_dies(cloud, issuer, out, program)
        group = a_large_group_hears(cloud, doors, alice, bob, out)
        what_a_writer_left_is_finished(cloud, doors, alice, out, group)
        roles_allow_no_more(cloud, out)
        what_nobody_uses_is_reaped(cloud, doors, issuer.token("carol"), out, orphan)
        other = an_edge_drains(cloud, doors, issuer, out, program, edge, port, stream, alice, bob, thread)
        again = deploy(cloud, issuer, built)
        assert "No changes to deploy" in again, again
        say("deployed again: nothing to do")
        it_is_taken_down(cloud, issuer, out, built, other)


if __name__ == "__main__":
    main(*sys.argv[1:])
