//! Messages edited, deleted and reacted to, and a group renamed, with the keyboard where there is a way.

use anyhow::Result;
use fantoccini::key::Key;

use crate::{shots, window::Window};

/// What both do to the messages of the thread that is open in both windows.
pub(crate) async fn messages(alice: &Window, bob: &Window) -> Result<()> {
    bob.open_menu_of("Hello Alice").await?;
    shots::everywhere(bob, "menu").await?;
    bob.press(&[Key::Down, Key::Down, Key::Enter]).await?;
    shots::everywhere(bob, "editing").await?;
    bob.write(" from the weir").await?;
    bob.press(&[Key::Enter]).await?;
    for window in [alice, bob] {
        window.shows_as("Hello Alice from the weir", "sent").await?;
        window.reads("edited", |text| text == "edited").await?;
    }
    alice.open_menu_of("Hello Alice from the weir").await?;
    alice.press(&[Key::Enter]).await?;
    bob.reads("reaction", |text| text == "👍1").await?;
    bob.click("reaction").await?;
    alice.reads("reaction", |text| text == "👍2").await?;

    alice.open_menu_of("Hello Alice from the weir").await?;
    alice.press(&[Key::Down, Key::Enter]).await?;
    alice.reads("replying", |text| text == "Reply to bob: Hello Alice from the weir").await?;
    alice.send("What do you see, @bob?").await?;
    for window in [alice, bob] {
        window.shows_as("What do you see, @bob?", "sent").await?;
        window.reads("quote", |text| text == "bob Hello Alice from the weir").await?;
        window.reads("mention", |text| text == "@bob").await?;
    }
    alice.is_gone("replying").await?;
    bob.send_file("https://files.example/plan.pdf", "plan.pdf", 12_000).await?;
    for window in [alice, bob] {
        window.reads("file", |text| text == "plan.pdf (12 kB)").await?;
    }
    shots::everywhere(alice, "reply").await?;

    alice.send("Never mind").await?;
    bob.shows_as("Never mind", "sent").await?;
    alice.open_menu_of("Never mind").await?;
    alice.press(&[Key::Down, Key::Down, Key::Down, Key::Enter]).await?;
    shots::everywhere(alice, "delete").await?;
    alice.press(&[Key::Up, Key::Enter]).await?;
    for window in [alice, bob] {
        window.shows_as("Message deleted", "sent").await?;
    }
    shots::everywhere(alice, "changes").await
}

/// A group with a title, and then with another.
pub(crate) async fn title(alice: &Window, bob: &Window) -> Result<()> {
    alice.fill_in_thread("bob").await?;
    alice.type_into("title", "Weir").await?;
    alice.start_thread().await?;
    alice.open_details().await?;
    alice.type_into("rename", " watchers").await?;
    alice.press(&[Key::Enter]).await?;
    for window in [alice, bob] {
        window.lists("Weir watchers").await?;
    }
    shots::everywhere(alice, "renamed").await
}

/// Bob takes a name, and his next message tells alice, who has the members of a group before her.
pub(crate) async fn name(alice: &Window, bob: &Window) -> Result<()> {
    bob.click("me").await?;
    bob.type_into("profile-name", "Bob Stone").await?;
    shots::everywhere(bob, "profile").await?;
    bob.click("profile-save").await?;
    bob.reads("me", |text| text == "Bob Stone").await?;
    alice.lists("bob").await?;
    bob.send("I have a name now").await?;
    alice.lists("Bob Stone").await?;
    // Two users may have one name: the id stands beside it.
    alice.reads("member-name", |text| text == "Bob Stonebob").await?;
    shots::everywhere(alice, "named").await
}

/// Bob blocks alice in the details of their direct thread, and ends that by its banner.
pub(crate) async fn block(alice: &Window, bob: &Window) -> Result<()> {
    bob.open_details().await?;
    bob.click("block").await?;
    bob.reads("block", |text| text == "Unblock alice").await?;
    bob.close_details().await?;
    bob.reads("banner", |text| text.starts_with("You have blocked alice.")).await?;
    shots::everywhere(bob, "blocked").await?;
    alice.send("Can you hear me?").await?;
    alice.shows_as("Can you hear me?", "failed").await?;
    shots::everywhere(alice, "closed").await?;
    bob.click("banner-yes").await?;
    bob.is_gone("banner").await?;
    alice.send("Can you hear me now?").await?;
    bob.shows_as("Can you hear me now?", "sent").await
}
