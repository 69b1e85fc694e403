//! The notation of ports: `tcp/80`, `tcp/80,443`, `udp/8000-8010`, `dns`, `dns/udp`.

use flowproof_wire::Transport;

/// The port of every DNS transport.
pub(crate) const DNS_PORT: u16 = 53;

/// Ports of one transport, and where they are in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortRange {
    pub(crate) transport: Transport,
    pub(crate) first: u16,
    pub(crate) last: u16,
    /// Where the range starts, in characters.
    pub(crate) start: usize,
    /// How many characters it has.
    pub(crate) length: usize,
}

/// What is wrong with a part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextError {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// Where the part starts, in characters.
    pub(crate) start: usize,
    /// How many characters it has.
    pub(crate) length: usize,
}

impl TextError {
    pub(crate) fn new(start: usize, length: usize, message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, start, length }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A word of a text and where it starts, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word<'a> {
    pub(crate) text: &'a str,
    pub(crate) start: usize,
}

impl Word<'_> {
    pub(crate) fn length(&self) -> usize {
        self.text.chars().count()
    }

    pub(crate) fn error(&self, message: impl Into<String>) -> TextError {
        TextError::new(self.start, self.length(), message)
    }
}

/// Splits a text at white space; `offset` is where the text starts, in characters.
pub(crate) fn words(text: &str, offset: usize) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut start = None;
    for (position, (byte, c)) in text.char_indices().enumerate() {
        match (c.is_whitespace(), start) {
            (false, None) => start = Some((byte, position)),
            (true, Some((from, at))) => {
                words.push(Word { text: &text[from..byte], start: at + offset });
                start = None;
            }
            _ => {}
        }
    }
    if let Some((from, at)) = start {
        words.push(Word { text: &text[from..], start: at + offset });
    }
    words
}

/// Reads one word of ports. Returns at least one range.
pub(crate) fn port_ranges(word: Word<'_>) -> Result<Vec<PortRange>, TextError> {
    let dns = |transport| PortRange {
        transport,
        first: DNS_PORT,
        last: DNS_PORT,
        start: word.start,
        length: word.length(),
    };
    let Some((protocol, list)) = word.text.split_once('/') else {
        return match word.text {
            "dns" => Ok(vec![dns(Transport::DnsUdp), dns(Transport::DnsTcp)]),
            "tcp" | "udp" => Err(word
                .error(format!("'{}' without a port", word.text))
                .with_hint(format!("write {}/80", word.text))),
            text if text.bytes().all(|b| b.is_ascii_digit() || b == b',' || b == b'-') => Err(word
                .error(format!("the port '{text}' without a protocol"))
                .with_hint(format!("write tcp/{text} or udp/{text}"))),
            text => Err(word
                .error(format!("'{text}' is not a port"))
                .with_hint("write tcp/80, tcp/80,443, udp/8000-8010, dns, dns/udp or dns/tcp")),
        };
    };
    let transport = match (protocol, list) {
        ("dns", "udp") => return Ok(vec![dns(Transport::DnsUdp)]),
        ("dns", "tcp") => return Ok(vec![dns(Transport::DnsTcp)]),
        ("dns", other) => {
            return Err(word
                .error(format!("'dns/{other}' is not a port: DNS is spoken on port 53"))
                .with_hint("write dns, dns/udp or dns/tcp"));
        }
        ("tcp", _) => Transport::Tcp,
        ("udp", _) => Transport::Udp,
        (other, _) => {
            let error = word.error(format!("there is no protocol '{other}'"));
            let lower = other.to_lowercase();
            return Err(match lower.as_str() {
                "tcp" | "udp" | "dns" => error.with_hint(format!("write {lower}/{list}")),
                "sctp" | "icmp" => error.with_hint("flows are tried over tcp, udp and dns"),
                _ => error.with_hint("there are tcp, udp and dns"),
            });
        }
    };
    let mut ranges = Vec::new();
    let mut start = word.start + protocol.chars().count() + 1;
    for item in list.split(',') {
        let item = Word { text: item, start };
        ranges.push(port_range(transport, item)?);
        start += item.length() + 1;
    }
    if let [only] = ranges.as_mut_slice() {
        (only.start, only.length) = (word.start, word.length());
    }
    Ok(ranges)
}

/// Reads `80` or `8000-8010`.
fn port_range(transport: Transport, item: Word<'_>) -> Result<PortRange, TextError> {
    if item.text.is_empty() {
        return Err(TextError::new(item.start.saturating_sub(1), 1, "a port is missing here")
            .with_hint("a list of ports is written without spaces: tcp/80,443"));
    }
    let (first, last) = item.text.split_once('-').unwrap_or((item.text, item.text));
    let range = PortRange {
        transport,
        first: port_number(first, item)?,
        last: port_number(last, item)?,
        start: item.start,
        length: item.length(),
    };
    if range.first > range.last {
        return Err(item
            .error(format!("the range {} is empty", item.text))
            .with_hint(format!("write {}-{}", range.last, range.first)));
    }
    Ok(range)
}

/// Reads a port number, 1 to 65535.
pub(crate) fn port_number(text: &str, within: Word<'_>) -> Result<u16, TextError> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ if digits => Err(within.error(format!("{text} is not a port: ports go from 1 to 65535"))),
        _ => Err(within
            .error(format!("'{text}' is not a port number"))
            .with_hint("flows are written with numbers; a named port is resolved where the pod declares it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(Transport, u16, u16)>, String> {
        port_ranges(Word { text, start: 0 })
            .map(|ranges| ranges.iter().map(|r| (r.transport, r.first, r.last)).collect())
            .map_err(|error| error.message)
    }

    #[test]
    fn ports_are_read() {
        use Transport::{DnsTcp, DnsUdp, Tcp, Udp};
        assert_eq!(read("tcp/80"), Ok(vec![(Tcp, 80, 80)]));
        assert_eq!(read("udp/53,5353"), Ok(vec![(Udp, 53, 53), (Udp, 5353, 5353)]));
        assert_eq!(read("tcp/8000-8010,1"), Ok(vec![(Tcp, 8000, 8010), (Tcp, 1, 1)]));
        assert_eq!(read("dns"), Ok(vec![(DnsUdp, 53, 53), (DnsTcp, 53, 53)]));
        assert_eq!(read("dns/udp"), Ok(vec![(DnsUdp, 53, 53)]));
        assert_eq!(read("dns/tcp"), Ok(vec![(DnsTcp, 53, 53)]));
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in [
            "",
            "tcp",
            "80",
            "tcp/",
            "tcp/0",
            "tcp/65536",
            "tcp/99999999",
            "tcp/-1",
            "tcp/1-",
            "tcp/9-1",
            "tcp/80,",
            "tcp/+80",
            "TCP/80",
            "sctp/80",
            "dns/53",
            "tcp/http",
            "tcp/80/81",
            "tcp/１",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_place_of_a_mistake_is_counted_in_characters() {
        let error = port_ranges(Word { text: "tcp/80,x9", start: 10 }).expect_err("x9 is no port");
        assert_eq!((error.start, error.length), (17, 2));
    }

    #[test]
    fn words_know_where_they_start() {
        let found: Vec<_> = words(" ä  tcp/80 ", 5).iter().map(|w| (w.text.to_owned(), w.start)).collect();
        assert_eq!(found, [("ä".to_owned(), 6), ("tcp/80".to_owned(), 9)]);
    }
}
