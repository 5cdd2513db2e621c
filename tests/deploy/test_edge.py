"""The edges, what stands in front of them, and how the templates fit together."""

import re
import unittest

from stack import ALL, EDGE, MAIN, WAF, limit, limit_seconds, of_type, properties, read, sources, template

# Policies of AWS's own: CachingDisabled, AllViewerAndCloudFrontHeaders-2022-06, AllViewerExceptHostHeader.
CACHING_DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
VIEWER_AND_CLOUDFRONT = "33f36d7e-f396-46d9-90e0-52428a34d9dc"
VIEWER_BUT_HOST = "b689b0a8-53d0-40ab-baf2-68738e2966ac"
# Those that CloudFront would keep (its developer guide, "HTTP 4xx and 5xx status codes").
KEPT_ERRORS = {400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504}
(CONTAINER,) = properties(EDGE, "Task")["ContainerDefinitions"]
SET = {e["Name"]: e["Value"] for e in CONTAINER["Environment"]}
SECRETS = {e["Name"]: e["ValueFrom"] for e in CONTAINER["Secrets"]}
DISTRIBUTION = properties(EDGE, "Front")["DistributionConfig"]
BEHAVIOURS = [*DISTRIBUTION["CacheBehaviors"], DISTRIBUTION["DefaultCacheBehavior"]]


def attributes(name, field):
    return {a["Key"]: a["Value"] for a in properties(EDGE, name)[field]}


def texts(part):
    """Every description in a resource, however deep."""
    if isinstance(part, list):
        return [text for each in part for text in texts(each)]
    if not isinstance(part, dict):
        return []
    found = [value for name, value in part.items() if name in ("Description", "GroupDescription")]
    return found + [text for value in part.values() for text in texts(value)]


class Edge(unittest.TestCase):
    def test_a_stream_outlives_everything_between_it_and_the_browser(self):
        ping = limit_seconds("PING")
        edges = self.origin("edge")
        self.assertGreaterEqual(edges["VpcOriginConfig"]["OriginReadTimeout"], 2 * ping)
        self.assertNotIn("ResponseCompletionTimeout", edges)
        # A connection that is silent for 350 s is cut (Network Load Balancers, "Connection idle timeout").
        self.assertLess(2 * ping, 350)
        self.assertEqual({properties(EDGE, name)["Protocol"] for name in ("Listener", "Targets")}, {"TCP"})

    def test_an_edge_has_the_time_to_end_its_streams(self):
        drain = read("sse-edge/src/edge/drain.rs")
        waits = sum(int(s) for s in re.findall(r"_WAIT: Duration = Duration::from_secs\((\d+)\)", drain))
        self.assertGreaterEqual(waits, 25)
        self.assertLessEqual(int(SET["RUNNEL_DRAIN_SECONDS"]) + waits, CONTAINER["StopTimeout"])

    def test_nobody_cuts_the_streams_of_an_edge_that_is_let_go_or_unwell(self):
        given = attributes("Targets", "TargetGroupAttributes")
        self.assertEqual(given["deregistration_delay.connection_termination.enabled"], "false")
        self.assertEqual(given["target_health_state.unhealthy.connection_termination.enabled"], "false")
        # Only then comes the signal on which it says `bye`.
        self.assertLessEqual(int(given["deregistration_delay.timeout_seconds"]), 60)

    def test_an_upgrade_replaces_one_edge_or_a_quarter_of_them_at_a_time(self):
        percent = properties(EDGE, "Service")["DeploymentConfiguration"]["MaximumPercent"]
        names = {"RunsOne": 1, "RunsTwo": 2, "RunsThree": 3}
        for least in range(1, 30):
            # With autoscaling there may be more of them.
            for running in range(least, 200):
                chosen = percent
                while isinstance(chosen, dict):
                    name, holds, otherwise = chosen["Fn::If"]
                    chosen = holds if names[name] == least else otherwise
                more = running * chosen // 100 - running
                self.assertGreaterEqual(more, 1, f"{running} edges, of {least} at least, are never replaced")
                share = {1: 1, 2: 1 / 2, 3: 0.34}.get(least, 1 / 4)
                self.assertLessEqual(more, max(1, running * share))
        # Without autoscaling ECS begins with one.
        self.assertIn({"Fn::Not": [{"Condition": "Scales"}]}, EDGE["Conditions"]["RunsOne"]["Fn::Or"])

    def test_an_edge_writes_no_file_is_nobody_and_may_hold_its_streams(self):
        self.assertTrue(CONTAINER["ReadonlyRootFilesystem"])
        self.assertNotIn(CONTAINER["User"], ("", "0", "root"))
        (files,) = CONTAINER["Ulimits"]
        # Beside each user's stream there may be a receive from a queue.
        self.assertGreater(files["SoftLimit"], 2 * limit("CONNECTIONS"))

    def test_more_edges_are_started_before_one_is_full(self):
        most = template("template.yaml")["Parameters"]["StreamsPerEdge"]
        self.assertLess(most["Default"], most["MaxValue"])
        self.assertEqual(most["MaxValue"], limit("EDGE_STREAMS"))

    def test_subnets_are_made_when_their_network_reaches_out(self):
        for name in ("SubnetA", "SubnetB"):
            self.assertEqual(EDGE["Resources"][name]["DependsOn"], "DefaultRoute")
        self.assertEqual(EDGE["Resources"]["DefaultRoute"]["DependsOn"], "GatewayAttachment")

    def test_edges_that_do_not_become_ready_are_taken_back(self):
        deployment = properties(EDGE, "Service")["DeploymentConfiguration"]
        self.assertEqual(deployment["DeploymentCircuitBreaker"], {"Enable": True, "Rollback": True})
        self.assertEqual(deployment["MinimumHealthyPercent"], 100)
        path = properties(EDGE, "Targets")["HealthCheckPath"]
        self.assertIn(f'.route("{path}"', read("sse-edge/src/http.rs"))

    def test_cloudfront_keeps_compresses_and_rewrites_nothing(self):
        for behaviour in BEHAVIOURS:
            self.assertEqual(behaviour["CachePolicyId"], CACHING_DISABLED)
            self.assertFalse(behaviour["Compress"])
        errors = DISTRIBUTION["CustomErrorResponses"]
        self.assertEqual({e["ErrorCode"] for e in errors}, KEPT_ERRORS)
        for error in errors:
            self.assertEqual(set(error), {"ErrorCode", "ErrorCachingMinTTL"})
            self.assertEqual(error["ErrorCachingMinTTL"], 0)

    def test_page_api_and_stream_have_one_origin(self):
        behaviours = [(b["PathPattern"], b["TargetOriginId"]) for b in DISTRIBUTION["CacheBehaviors"]]
        # The first that fits is taken.
        open_to_all = [("/v1/health", "edge"), ("/v1/openapi.json", "edge")]
        self.assertEqual(behaviours, [("/v1/events*", "edge"), *open_to_all, ("/v1*", "api")])
        self.assertEqual(DISTRIBUTION["DefaultCacheBehavior"]["TargetOriginId"], "edge")

    def test_a_web_acl_limits_addresses_where_one_is_given(self):
        self.assertEqual(MAIN["Parameters"]["WebAclArn"]["Default"], "")
        self.assertIn("WebACLId", DISTRIBUTION)
        self.assertEqual(properties(WAF, "WebAcl")["Scope"], "CLOUDFRONT")

    def test_an_edge_believes_an_address_that_only_cloudfront_can_send(self):
        self.assertEqual(SET["RUNNEL_ADDRESS_HEADER"], "CloudFront-Viewer-Address")
        for behaviour in (b for b in BEHAVIOURS if b["TargetOriginId"] == "edge"):
            self.assertEqual(behaviour["OriginRequestPolicyId"], VIEWER_AND_CLOUDFRONT)
        balancer = properties(EDGE, "Balancer")
        self.assertEqual((balancer["Scheme"], balancer["Type"]), ("internal", "network"))
        edge, way = self.origin("edge"), properties(EDGE, "Origin")["VpcOriginEndpointConfig"]
        self.assertEqual(edge["VpcOriginConfig"]["VpcOriginId"], {"Fn::GetAtt": ["Origin", "Id"]})
        self.assertEqual(way["Arn"], {"Ref": "Balancer"})
        self.assertEqual(way["HTTPPort"], properties(EDGE, "Listener")["Port"])
        self.assertNotIn("CustomOriginConfig", edge)
        (entry,) = properties(EDGE, "EdgeGroup")["SecurityGroupIngress"]
        self.assertEqual(entry["SourceSecurityGroupId"], {"Fn::GetAtt": ["BalancerGroup", "GroupId"]})

    def test_cloudfront_takes_the_load_balancer_as_its_origin(self):
        """By its developer guide, "Restrict access with VPC origins", "Prerequisites"."""
        balancer = properties(EDGE, "Balancer")
        self.assertEqual(balancer["IpAddressType"], "ipv4")
        self.assertTrue(balancer["SecurityGroups"])
        self.assertNotIn("Certificates", properties(EDGE, "Listener"))
        self.assertEqual(EDGE["Resources"]["Origin"]["DependsOn"], "Listener")
        self.assertEqual(properties(EDGE, "GatewayAttachment")["VpcId"], {"Ref": "Vpc"})
        (_, made, _) = balancer["Subnets"]["Fn::If"]
        for subnet in made:
            self.assertEqual(EDGE["Resources"][subnet["Ref"]]["DependsOn"], "GatewayAttachment")
        routed = {r["SubnetId"]["Ref"] for r in of_type(EDGE, "AWS::EC2::SubnetRouteTableAssociation").values()}
        self.assertEqual([s["Ref"] for s in made if s["Ref"] in routed], [], "its subnets are private")

    def test_ec2_takes_every_description(self):
        """By the API reference, `AuthorizeSecurityGroupIngress` and `CreateSecurityGroup`."""
        descriptions = []
        for stack in ALL.values():
            for resource in stack["Resources"].values():
                if resource["Type"].startswith("AWS::EC2::"):
                    descriptions += texts(resource.get("Properties", {}))
        self.assertGreaterEqual(len(descriptions), 3)
        for text in descriptions:
            self.assertRegex(text, r"\A[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{1,255}\Z")

    def test_api_gateway_is_asked_under_its_own_name(self):
        (behaviour,) = [b for b in BEHAVIOURS if b["TargetOriginId"] == "api"]
        self.assertEqual(behaviour["OriginRequestPolicyId"], VIEWER_BUT_HOST)

    @staticmethod
    def origin(name):
        (found,) = [o for o in DISTRIBUTION["Origins"] if o["Id"] == name]
        return found


class Together(unittest.TestCase):
    def test_every_setting_is_one_that_the_programs_know(self):
        programs = "\n".join(map(sources, ("crates/server/src", "crates/api/src", "crates/fanout/src", "api-lambda/src", "sse-edge/src")))
        known = set(re.findall(r'env = "(RUNNEL_\w+)"', programs))
        given = set(SET) | set(SECRETS)
        for function in of_type(MAIN, "AWS::Lambda::Function").values():
            given |= set(function["Environment"]["Variables"])
        self.assertEqual(given - known, set())

    def test_all_processes_have_the_key_of_the_queues_and_queues_name_who_posts(self):
        self.assertEqual(SECRETS, {"RUNNEL_QUEUE_KEY": {"Ref": "QueueKey"}})
        self.assertEqual(properties(MAIN, "Edge")["Parameters"]["QueueKey"], {"Ref": "QueueKey"})
        self.assertGreaterEqual(properties(MAIN, "QueueKey")["GenerateSecretString"]["PasswordLength"], 32)
        for name, function in of_type(MAIN, "AWS::Lambda::Function").items():
            key = function["Environment"]["Variables"]["RUNNEL_QUEUE_KEY"]
            self.assertEqual(key, {"Fn::Sub": "{{resolve:secretsmanager:${QueueKey}}}"}, name)
        senders = properties(MAIN, "Edge")["Parameters"]["QueueSenders"]["Fn::Sub"].split(",")
        self.assertEqual(set(senders), {"${%s.Arn}" % role for role in of_type(MAIN, "AWS::IAM::Role")})

    def test_nested_templates_are_given_just_the_parameters_they_have(self):
        for name, nested in {"Edge": "infra/edge.yaml", "Alarms": "infra/alarms.yaml"}.items():
            self.assertEqual(properties(MAIN, name)["TemplateURL"], nested)
            self.assertEqual(set(properties(MAIN, name)["Parameters"]), set(ALL[nested]["Parameters"]))
