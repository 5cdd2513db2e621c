//! The policy of a queue: only the writers' roles may post.

use serde_json::json;

/// The IAM roles that may post to queues. Without one, queues have no policy.
#[derive(Debug, Clone, Default)]
pub struct Senders(Vec<Role>);

/// The ARN of a role, with what the ARN of a queue shares with it.
#[derive(Debug, Clone)]
struct Role {
    arn: String,
    partition: String,
    account: String,
}

/// What is no list of roles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the ARN of an IAM role: use the form arn:aws:iam::123456789012:role/name")]
pub struct BadSender(String);

impl Senders {
    /// Reads the ARNs of roles, separated by commas.
    ///
    /// # Errors
    /// [`BadSender`]
    pub fn parse(text: &str) -> Result<Self, BadSender> {
        text.split(',')
            .map(str::trim)
            .filter(|arn| !arn.is_empty())
            .map(Role::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The policy of a queue. None without senders, or where the region is not known.
    ///
    /// It denies, because a statement that allows would take nothing from what IAM allows within the account (IAM user
    /// guide, "Policy evaluation logic"). A session's `aws:PrincipalArn` is that of its role.
    pub(crate) fn policy(&self, region: Option<&str>, queue: &str) -> Option<String> {
        let (Role { partition, account, .. }, region) = (self.0.first()?, region?);
        let arns: Vec<&str> = self.0.iter().map(|role| role.arn.as_str()).collect();
        let statement = json!({
            "Sid": "OnlyWritersPost",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sqs:SendMessage",
            "Resource": format!("arn:{partition}:sqs:{region}:{account}:{queue}"),
            "Condition": { "ArnNotEquals": { "aws:PrincipalArn": arns } },
        });
        Some(json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string())
    }
}

impl Role {
    fn parse(arn: &str) -> Result<Self, BadSender> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        match parts[..] {
            ["arn", partition, "iam", "", account, name] if name.starts_with("role/") => {
                Ok(Self { arn: arn.into(), partition: partition.into(), account: account.into() })
            }
            _ => Err(BadSender(arn.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_denies_posting_to_all_but_the_writers() {
        let senders = Senders::parse(
            "arn:aws-cn:iam::123456789012:role/api, arn:aws-cn:iam::123456789012:role/a/fanout,",
        );
        let policy = senders.unwrap().policy(Some("cn-north-1"), "runnel-dev-q").unwrap();
        let policy: serde_json::Value = serde_json::from_str(&policy).unwrap();
        let statement = &policy["Statement"][0];
        assert_eq!((&statement["Effect"], &statement["Action"]), (&json!("Deny"), &json!("sqs:SendMessage")));
        assert_eq!(statement["Resource"], "arn:aws-cn:sqs:cn-north-1:123456789012:runnel-dev-q");
        let roles = ["arn:aws-cn:iam::123456789012:role/api", "arn:aws-cn:iam::123456789012:role/a/fanout"];
        assert_eq!(statement["Condition"], json!({ "ArnNotEquals": { "aws:PrincipalArn": roles } }));
    }

    #[test]
    fn without_senders_there_is_no_policy() {
        assert_eq!(Senders::parse("").unwrap().policy(Some("eu-central-1"), "q"), None);
        for bad in ["api", "arn:aws:iam::1:user/me", "arn:aws:sts::1:assumed-role/api/x"] {
            assert_eq!(Senders::parse(bad).unwrap_err(), BadSender(bad.into()));
        }
    }
}
