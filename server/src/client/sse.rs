//! Server-sent events, the receiving side: bytes in, `data` of messages out (WHATWG HTML, section 9.2.6).

/// Longest message; a stream that sends more without an end is not ours.
const MAX_MESSAGE_BYTES: usize = 256 << 20;

/// Cuts a byte stream into messages. Chunks may end anywhere, also inside a character or between CR and LF.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// Bytes not yet made into lines, from `at`.
    buffer: Vec<u8>,
    at: usize,
    /// How far `buffer` was searched for a line end.
    searched: usize,
    data: Vec<u8>,
    has_data: bool,
}

impl Parser {
    /// Takes the next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.at);
        self.searched -= self.at;
        self.at = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, if its end has come. Comments and other fields are passed over.
    ///
    /// # Errors
    /// If a message is not UTF-8 or has no end.
    pub(super) fn next_message(&mut self) -> Result<Option<String>, String> {
        while let Some((start, end)) = self.next_line() {
            let line = &self.buffer[start..end];
            if line.is_empty() {
                if std::mem::take(&mut self.has_data) {
                    let data = std::mem::take(&mut self.data);
                    return String::from_utf8(data)
                        .map(Some)
                        .map_err(|_| "a message is not UTF-8".to_owned());
                }
                continue;
            }
            let value = match line.strip_prefix(b"data") {
                Some([]) => &line[..0],
                Some([b':', b' ', value @ ..] | [b':', value @ ..]) => value,
                _ => continue,
            };
            if self.has_data {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value);
            self.has_data = true;
        }
        if self.data.len() + self.buffer.len() - self.at > MAX_MESSAGE_BYTES {
            return Err(format!("a message is over {MAX_MESSAGE_BYTES} bytes"));
        }
        Ok(None)
    }

    /// Start and end of the next line without its CR LF, CR or LF; moves past it.
    fn next_line(&mut self) -> Option<(usize, usize)> {
        let found = self.buffer[self.searched..]
            .iter()
            .position(|byte| matches!(byte, b'\n' | b'\r'));
        let Some(offset) = found else {
            self.searched = self.buffer.len();
            return None;
        };
        let (start, end) = (self.at, self.searched + offset);
        let next = match (self.buffer[end], self.buffer.get(end + 1)) {
            (b'\r', Some(b'\n')) => end + 2,
            // An LF that belongs to this CR may be on its way.
            (b'\r', None) => {
                self.searched = end;
                return None;
            }
            _ => end + 1,
        };
        self.at = next;
        self.searched = next;
        Some((start, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(chunks: &[&[u8]]) -> Vec<String> {
        let mut parser = Parser::default();
        let mut found = Vec::new();
        for chunk in chunks {
            parser.push(chunk);
            while let Some(message) = parser.next_message().unwrap() {
                found.push(message);
            }
        }
        found
    }

    #[test]
    fn fields_comments_and_line_ends() {
        let check = |text: &str, expected: &[&str]| assert_eq!(messages(&[text.as_bytes()]), expected, "{text:?}");
        check("id: 1\ndata: a\n\n", &["a"]);
        check("data: a\r\ndata:b\r\n\r\n", &["a\nb"]);
        check(": alive\n\ndata: a\n\n", &["a"]);
        check("event: x\n\n", &[]);
        check("data\n\n", &[""]);
        check("database: no\n\n", &[]);
        check("data:  two spaces\n\n", &[" two spaces"]);
        check("data: no end\n", &[]);
    }

    #[test]
    fn every_way_to_cut_gives_the_same() {
        let text = "id: 1\r\ndata: h\u{e9}llo\r\n\r\n: c\r\n\r\ndata: {\"a\":1}\ndata: x\n\n".as_bytes();
        let whole = messages(&[text]);
        assert_eq!(whole, ["h\u{e9}llo", "{\"a\":1}\nx"]);
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let cut = messages(&[&text[..first], &text[first..second], &text[second..]]);
                assert_eq!(cut, whole, "cut at {first} and {second}");
            }
        }
    }
}
