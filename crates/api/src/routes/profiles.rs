//! Who users are: a profile each, which everybody who is signed in may read.

use std::collections::BTreeSet;

use axum::{Json as Answer, extract::State};
use domain::{
    attachment::{Address, Data},
    ids::UserId,
    limits,
    profile::{DisplayName, Profile, User},
    rate::Class,
    wire::Page,
};
use serde::Deserialize;
use server::{
    json::{Json, Query},
    problem::Problem,
};
use store::table::Table;
use utoipa::ToSchema;

use crate::{
    answer::failed,
    rate::{Metered, Reader, too_fast},
};

/// The whole profile: what is absent is gone.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProfile {
    /// The name to show, up to 80 characters; empty is none.
    #[schema(max_length = 80)]
    name: Option<String>,
    /// Where a picture lies: an https address of up to 512 characters.
    avatar: Option<Address>,
    /// A JSON object of up to 1 KiB that Runnel keeps with the profile, for your application.
    #[serde(default)]
    data: Data,
}

impl NewProfile {
    fn profile(self) -> Result<Profile, Problem> {
        let name = self.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
        let name = name.map(DisplayName::parse).transpose();
        let name = name.map_err(|bad| Problem::invalid("name", bad.to_string()))?;
        if self.avatar.as_ref().is_some_and(|avatar| avatar.as_str().len() > limits::AVATAR_BYTES) {
            let detail = format!("`avatar` must have at most {} characters", limits::AVATAR_BYTES);
            return Err(Problem::invalid("avatar", detail));
        }
        let bytes = serde_json::to_vec(&self.data).map_or(usize::MAX, |data| data.len());
        if bytes > limits::PROFILE_DATA_BYTES {
            let detail = format!("`data` must have at most {} bytes of JSON", limits::PROFILE_DATA_BYTES);
            return Err(Problem::invalid("data", detail));
        }
        Ok(Profile { name, avatar: self.avatar, data: self.data })
    }
}

/// Set your profile.
///
/// It replaces the one before. Everybody who is signed in may read it. Your next message tells the others that there is a
/// newer one. A back end sets the profile of the user for whom it acts.
#[utoipa::path(put, path = "/v1/me/profile", tag = "profiles", operation_id = "setProfile",
    request_body = NewProfile,
    responses((status = 200, description = "You as others see you.", body = User)))]
pub async fn set(
    State(table): State<Table>,
    metered: Metered,
    Json(new): Json<NewProfile>,
) -> Result<Answer<User>, Problem> {
    let profile = new.profile()?;
    metered.permit(&[(Class::Profile, 1)]).granted().await.map_err(too_fast)?;
    let user = metered.identity.user;
    let version = table.put_profile(&user, &profile, metered.now).await.map_err(failed)?;
    Ok(Answer(User { user, profile, version }))
}

/// The query of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    ids: String,
}

impl Wanted {
    fn users(&self) -> Result<Vec<UserId>, Problem> {
        let invalid = |detail: String| Problem::invalid("ids", detail);
        let mut users: Vec<UserId> = Vec::new();
        for id in self.ids.split(',') {
            if users.len() == limits::PROFILES {
                return Err(invalid(format!("`ids` must name at most {} users", limits::PROFILES)));
            }
            users.push(UserId::parse(id).map_err(|bad| invalid(format!("in `ids`, {bad}")))?);
        }
        let mut known = BTreeSet::new();
        users.retain(|user| known.insert(user.clone()));
        Ok(users)
    }
}

/// Read who users are.
///
/// Of a user without a profile the answer has the version 0, whether there is such a user or not.
#[utoipa::path(get, path = "/v1/users", tag = "profiles", operation_id = "listUsers",
    params(("ids" = Vec<UserId>, Query, style = Form, explode = false, min_items = 1, max_items = 100,
        description = "1 to 100 users, with commas between them.")),
    responses((status = 200, description = "All of them, on one page, in the order of `ids`.", body = Page<User>)))]
pub async fn list(
    State(table): State<Table>,
    _: Reader,
    Query(wanted): Query<Wanted>,
) -> Result<Answer<Page<User>>, Problem> {
    let items = table.users(&wanted.users()?).await.map_err(failed)?;
    Ok(Answer(Page { items, next: None }))
}
