//! As much of MQTT 3.1.1 as it takes to be told at `QoS` 1 and to say that one has heard.

/// A packet of the broker.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// The connection is accepted.
    Connected,
    /// The subscription is.
    Subscribed,
    /// A message, and its number to acknowledge.
    Message(&'a [u8], [u8; 2]),
    /// A message of ours has arrived.
    Acknowledged,
    /// Anything else.
    Other,
}

/// What is to be sent first. A session that is not `clean` outlives its connection.
pub(crate) fn connect(client: &str, clean: bool) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, "MQTT");
    body.extend_from_slice(&[4, if clean { 2 } else { 0 }]);
    body.extend_from_slice(&60_u16.to_be_bytes());
    text(&mut body, client);
    packet(0x10, &body)
}

/// Asks for a topic at `QoS` 1.
pub(crate) fn subscribe(topic: &str) -> Vec<u8> {
    let mut body = vec![0, 1];
    text(&mut body, topic);
    body.push(1);
    packet(0x82, &body)
}

/// Says something at `QoS` 1.
pub(crate) fn publish(topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, topic);
    body.extend_from_slice(&[0, 1]);
    body.extend_from_slice(payload);
    packet(0x32, &body)
}

/// Says that a message was heard.
pub(crate) fn acknowledge(number: [u8; 2]) -> [u8; 4] {
    [0x40, 2, number[0], number[1]]
}

/// The next whole packet and its length in bytes, if there is one.
pub(crate) fn next(bytes: &[u8]) -> Option<(Packet<'_>, usize)> {
    let (mut size, mut at) = (0_usize, 1);
    loop {
        let byte = *bytes.get(at)?;
        size |= usize::from(byte & 127) << (7 * (at - 1));
        at += 1;
        if byte & 128 == 0 {
            break;
        }
    }
    let body = bytes.get(at..at + size)?;
    let packet = match bytes[0] >> 4 {
        2 => Packet::Connected,
        3 => {
            let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
            Packet::Message(&body[topic + 4..], [body[topic + 2], body[topic + 3]])
        }
        4 => Packet::Acknowledged,
        9 => Packet::Subscribed,
        _ => Packet::Other,
    };
    Some((packet, at + size))
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let (mut out, mut size) = (vec![kind], body.len());
    loop {
        let more = size > 127;
        out.push((size % 128) as u8 | if more { 128 } else { 0 });
        size /= 128;
        if !more {
            break;
        }
    }
    out.extend_from_slice(body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_back_once_it_is_whole() {
        let sent = publish("t", &[b'x'; 300]);
        let (packet, size) = next(&sent).unwrap();
        assert_eq!((packet, size), (Packet::Message(&[b'x'; 300], [0, 1]), sent.len()));
        assert!((0..sent.len()).all(|cut| next(&sent[..cut]).is_none()));
    }
}
