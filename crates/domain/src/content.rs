//! The content of a message: what its author says, and the three ways in which that changes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    attachment::{Attachment, Data},
    ids::{Emoji, UserId},
    limits,
    sequence::{MessageNumber, ProfileVersion, ThreadSeq},
};

/// Who has reacted, by reaction; the earliest first.
pub type Reactions = BTreeMap<Emoji, Vec<UserId>>;

/// What a message says. Its author can change it, and a deletion removes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// The text; empty, if the files say it all.
    pub text: String,
    /// The files.
    pub attachments: Vec<Attachment>,
    /// What the application keeps with it.
    pub data: Data,
}

impl Said {
    /// Whether there is nothing to see in it.
    pub fn is_blank(&self) -> bool {
        self.text.trim().is_empty() && self.attachments.is_empty()
    }

    /// Whether it fits a message that mentions these users: [`limits::EXTRAS_BYTES`].
    pub fn fits_beside(&self, mentions: &[UserId]) -> bool {
        let extras = serde_json::to_vec(&(&self.attachments, &self.data, mentions));
        extras.is_ok_and(|extras| extras.len() <= limits::EXTRAS_BYTES)
    }
}

impl From<&str> for Said {
    fn from(text: &str) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

/// A new message, as its author asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Draft {
    /// What it says.
    pub said: Said,
    /// Members whom it mentions.
    pub mentions: Vec<UserId>,
    /// The tseq of the message that it replies to.
    pub reply_to: Option<ThreadSeq>,
    /// The version of the author's profile.
    pub from_version: ProfileVersion,
}

impl From<&str> for Draft {
    fn from(text: &str) -> Self {
        Self { said: text.into(), ..Self::default() }
    }
}

/// What an edit changes. What is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Revision {
    /// Another text.
    pub text: Option<String>,
    /// Other files.
    pub attachments: Option<Vec<Attachment>>,
    /// Other data.
    pub data: Option<Data>,
}

impl From<&str> for Revision {
    fn from(text: &str) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }
}

impl Revision {
    /// What a message says after it.
    #[must_use]
    pub fn of(&self, said: Said) -> Said {
        Said {
            text: self.text.clone().unwrap_or(said.text),
            attachments: self.attachments.clone().unwrap_or(said.attachments),
            data: self.data.clone().unwrap_or(said.data),
        }
    }
}

/// What an edit tells of its message: what that says now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Told {
    /// Nothing: the reader may not have it, or it was not read yet.
    #[default]
    Nothing,
    /// That the message has been deleted since.
    Deleted,
    /// This.
    Said(Said),
}

/// The message that another one replies to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reply {
    /// Its place among the thread's logged events.
    pub tseq: ThreadSeq,
    /// Its place among the thread's messages.
    pub number: MessageNumber,
    /// Who said it.
    pub from: UserId,
}

/// The content of a message as it is now. Only one copy is kept, so removed content is gone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MessageContent {
    /// The text; none once the message is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// What the application keeps with it.
    #[serde(default, skip_serializing_if = "Data::is_empty")]
    pub data: Data,
    /// Whom it mentions. It never changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<UserId>,
    /// What it replies to. It never changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply>,
    /// The version of its author's profile when it was sent. It never changes.
    #[serde(default, skip_serializing_if = "crate::event::is_default")]
    pub from_version: ProfileVersion,
    /// When the text was last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<Timestamp>,
    /// Who has reacted.
    #[serde(default, skip_serializing_if = "Reactions::is_empty")]
    pub reactions: Reactions,
    /// The tseq of the latest event that changed any of this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<ThreadSeq>,
}

/// How a reaction changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReactionState {
    /// A user has added it.
    Added,
    /// The user has removed it.
    Removed,
}

/// Why a reaction is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMany {
    /// [`limits::MESSAGE_EMOJI`] different ones are there.
    Emoji,
    /// [`limits::EMOJI_USERS`] have put the same.
    Users,
    /// [`limits::MESSAGE_REACTIONS`] are there in all.
    Reactions,
}

impl MessageContent {
    /// A new message of a text alone.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }

    /// A new message. `reply` is what its `reply_to` names.
    pub fn of(draft: &Draft, reply: Option<Reply>) -> Self {
        let Draft { said, mentions, from_version, .. } = draft.clone();
        Self { mentions, reply, from_version, ..Self::default() }.saying(said)
    }

    fn saying(self, Said { text, attachments, data }: Said) -> Self {
        Self { text: Some(text), attachments, data, ..self }
    }

    /// What it says; none once it is deleted.
    pub fn said(&self) -> Option<Said> {
        let text = self.text.clone()?;
        Some(Said { text, attachments: self.attachments.clone(), data: self.data.clone() })
    }

    /// The message once the event `tseq` has made it say something else.
    #[must_use]
    pub fn edited(&self, said: Said, tseq: ThreadSeq, at: Timestamp) -> Self {
        Self { edited_at: Some(at), changed: Some(tseq), ..self.clone() }.saying(said)
    }

    /// The message once the event `tseq` has deleted it: reactions tell of what it said, so they
    /// go with the text.
    #[must_use]
    pub fn deleted(tseq: ThreadSeq) -> Self {
        Self { changed: Some(tseq), ..Self::default() }
    }

    /// The message once the event `tseq` has put a reaction there or taken it away; none, if it is
    /// so already.
    ///
    /// # Errors
    /// [`TooMany`], if there is no room for it.
    pub fn reacted(
        &self,
        user: &UserId,
        (emoji, state): (&Emoji, ReactionState),
        tseq: ThreadSeq,
    ) -> Result<Option<Self>, TooMany> {
        let there = self.reactions.get(emoji).is_some_and(|users| users.contains(user));
        if there == (state == ReactionState::Added) {
            return Ok(None);
        }
        let mut next = Self { changed: Some(tseq), ..self.clone() };
        match state {
            ReactionState::Added => {
                let users = self.reactions.get(emoji).map(Vec::len);
                if users.is_none() && self.reactions.len() >= limits::MESSAGE_EMOJI {
                    return Err(TooMany::Emoji);
                }
                if users.is_some_and(|n| n >= limits::EMOJI_USERS) {
                    return Err(TooMany::Users);
                }
                let all: usize = self.reactions.values().map(Vec::len).sum();
                if all >= limits::MESSAGE_REACTIONS {
                    return Err(TooMany::Reactions);
                }
                next.reactions.entry(emoji.clone()).or_default().push(user.clone());
            }
            ReactionState::Removed => {
                next.reactions.entry(emoji.clone()).or_default().retain(|other| other != user);
                next.reactions.retain(|_, users| !users.is_empty());
            }
        }
        Ok(Some(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(n: usize) -> UserId {
        UserId::parse(&format!("user{n}")).unwrap()
    }

    fn emoji(n: usize) -> Emoji {
        Emoji::parse(&format!("e{n}")).unwrap()
    }

    fn added(said: &MessageContent, user: &UserId, emoji: &Emoji) -> Result<Option<MessageContent>, TooMany> {
        said.reacted(user, (emoji, ReactionState::Added), ThreadSeq(9))
    }

    #[test]
    fn a_reaction_is_there_once_and_leaves_nothing_behind() {
        let (said, up) = (MessageContent::new("hi"), emoji(0));
        let with = added(&said, &user(1), &up).unwrap().unwrap();
        assert_eq!(with.reactions, Reactions::from([(up.clone(), vec![user(1)])]));
        assert_eq!(added(&with, &user(1), &up), Ok(None));
        let removed = |said: &MessageContent| {
            said.reacted(&user(1), (&up, ReactionState::Removed), ThreadSeq(10)).unwrap()
        };
        let without = removed(&with).unwrap();
        assert_eq!(without, MessageContent { changed: Some(ThreadSeq(10)), ..said });
        assert_eq!(removed(&without), None);
    }

    #[test]
    fn reactions_have_an_end() {
        let mut many = MessageContent::new("hi");
        for n in 0..limits::MESSAGE_EMOJI {
            many = added(&many, &user(0), &emoji(n)).unwrap().unwrap();
        }
        assert_eq!(added(&many, &user(1), &emoji(99)), Err(TooMany::Emoji));
        let mut loud = MessageContent::new("hi");
        for n in 0..limits::EMOJI_USERS {
            loud = added(&loud, &user(n), &emoji(0)).unwrap().unwrap();
        }
        assert_eq!(added(&loud, &user(99), &emoji(0)), Err(TooMany::Users));
        for n in 0..limits::MESSAGE_REACTIONS - limits::EMOJI_USERS {
            loud = added(&loud, &user(n / 8), &emoji(1 + n % 8)).unwrap().unwrap();
        }
        assert_eq!(added(&loud, &user(99), &emoji(1)), Err(TooMany::Reactions));
    }

    #[test]
    fn a_deleted_message_keeps_nothing_of_what_it_said() {
        let edited =
            MessageContent::new("secret").edited("more secret".into(), ThreadSeq(4), Timestamp::UNIX_EPOCH);
        assert_eq!(edited.text.as_deref(), Some("more secret"));
        let json = serde_json::to_string(&MessageContent::deleted(ThreadSeq(5))).unwrap();
        assert_eq!(json, r#"{"changed":5}"#);
    }
}
