//! Protobuf's wire format, read in place: for remote write, and for the protocols beside it.

/// A field's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ingest) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

/// Walks the fields of one message. O(1) per field, no allocation; every malformed input is an error, never a panic.
#[derive(Clone, Copy, Debug)]
pub(in crate::ingest) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(in crate::ingest) fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    /// Whether everything has been read.
    pub(in crate::ingest) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next field's number and content; `None` at the end.
    // Inlined because its answer would go through memory: a third of the decoder's time.
    #[inline(always)]
    pub(in crate::ingest) fn next(&mut self) -> Result<Option<(u64, Wire<'a>)>, &'static str> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let content = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => {
                let (bytes, rest) = self.rest.split_first_chunk::<8>().ok_or("a fixed field is cut off")?;
                self.rest = rest;
                Wire::Fixed64(u64::from_le_bytes(*bytes))
            }
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| "a length is out of range")?;
                let (bytes, rest) = self
                    .rest
                    .split_at_checked(length)
                    .ok_or("a field is longer than its message")?;
                self.rest = rest;
                Wire::Bytes(bytes)
            }
            5 => {
                let (_, rest) = self.rest.split_first_chunk::<4>().ok_or("a fixed field is cut off")?;
                self.rest = rest;
                Wire::Fixed32
            }
            _ => return Err("a field has an unknown wire type"),
        };
        if tag >> 3 == 0 {
            return Err("a field has the number 0");
        }
        Ok(Some((tag >> 3, content)))
    }

    /// The next message, where messages stand one after the other, each after its length.
    pub(in crate::ingest) fn prefixed(&mut self) -> Result<&'a [u8], &'static str> {
        let length = usize::try_from(self.varint()?).map_err(|_| "a length is out of range")?;
        let split = self.rest.split_at_checked(length);
        let (bytes, rest) = split.ok_or("a message is cut off")?;
        self.rest = rest;
        Ok(bytes)
    }

    /// The next number, where numbers stand without a field: packed ones.
    #[inline(always)]
    pub(in crate::ingest) fn varint(&mut self) -> Result<u64, &'static str> {
        // Tags and lengths are one byte nearly always.
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, &'static str> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or("a number is cut off")?;
            self.rest = rest;
            if shift == 63 && *byte > 1 {
                return Err("a number has more than 64 bits");
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number has more than 64 bits")
    }
}
