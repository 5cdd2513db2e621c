//! What a person sees who has started something.

#![expect(clippy::print_stdout, reason = "these are the words of a command to the person who gave it")]

use std::net::SocketAddr;

use domain::ids::{ThreadId, UserId};

/// The whole service is up.
pub fn serving(address: SocketAddr, dev: bool) {
    println!("Runnel serves on http://{address}");
    if !dev {
        println!(
            "\nSigning in by name alone exists only on a loopback address; mint tokens with `runnel token`."
        );
        return;
    }
    let [alice, bob] = ["alice", "bob"].map(|name| UserId::parse(name).expect("a plain name"));
    let thread = ThreadId::direct(&alice, &bob);
    let token = |user: &str| {
        format!(
            "$(curl -s http://{address}/dev/session -H content-type:application/json -d '{{\"user\":\"{user}\"}}' | sed 's/.*\"token\":\"\\([^\"]*\\).*/\\1/')"
        )
    };
    println!(
        "\nOpen it in two browser windows and sign in by two names; or paste, the last line in another terminal:\n\n\
         curl -s http://{address}/v1/threads -H \"Authorization: Bearer {alice}\" -H content-type:application/json -d '{{\"members\":[\"bob\"]}}'\n\
         curl -s http://{address}/v1/threads/{thread}/messages -H \"Authorization: Bearer {alice}\" -H content-type:application/json -d '{{\"text\":\"hello\"}}'\n\
         curl -sN http://{address}/v1/events -H \"Authorization: Bearer {bob}\"\n",
        alice = token("alice"),
        bob = token("bob"),
    );
}

/// The API is up as a process of its own.
pub fn api(address: SocketAddr) {
    println!("Runnel's API serves on http://{address}");
}

/// The fan-out is up as a process of its own.
pub fn fanout(stage: &str) {
    println!("Runnel's fan-out works for the stage `{stage}`");
}

/// The emulators are up.
pub fn emulators(address: SocketAddr) {
    println!(
        "export AWS_ENDPOINT_URL=http://{address} AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local"
    );
}

/// A token, and nothing else.
pub fn token(token: &str) {
    println!("{token}");
}
