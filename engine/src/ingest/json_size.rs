//! How much a JSON text can become in memory, told before it is parsed: it takes two bytes to write down what may take a
//! hundred to hold.

/// Objects and lists in one request. The largest of them holds some 250 bytes.
pub(super) const MAX_OBJECTS: usize = 1 << 20;

/// Elements of all of them. One holds some 40 bytes.
const MAX_ELEMENTS: usize = 1 << 23;

/// Whether a text is small enough to be parsed. What stands in quotes counts as well, which only makes this stricter.
pub(super) fn fits(body: &[u8]) -> bool {
    let (mut objects, mut elements) = (0, 0);
    for byte in body {
        objects += usize::from(matches!(byte, b'{' | b'['));
        elements += usize::from(*byte == b',');
    }
    objects <= MAX_OBJECTS && elements <= MAX_ELEMENTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_small_things_are_too_many() {
        assert!(fits(br#"{"a": [1, 2, "}"]}"#));
        assert!(fits(&vec![b'['; MAX_OBJECTS]) && !fits(&vec![b'['; MAX_OBJECTS + 1]));
        assert!(!fits(&vec![b','; MAX_ELEMENTS + 1]));
    }
}
