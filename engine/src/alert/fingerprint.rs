//! The hash by which Prometheus and Alertmanager know a label set: 64-bit FNV-1a over the labels in order of name, 0xFF after each name
//! and value (`prometheus/common`, `model.LabelSet.Fingerprint`).

use wire::alert::Pairs;

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;
const SEPARATOR: u8 = 0xFF;

/// 16 hex digits.
pub fn fingerprint(labels: &Pairs) -> String {
    let mut hash = OFFSET;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    for (name, value) in labels {
        name.bytes().for_each(&mut add);
        add(SEPARATOR);
        value.bytes().for_each(&mut add);
        add(SEPARATOR);
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers are from the tests of `prometheus/common` (`model/labelset_test.go`).
    #[test]
    fn it_is_the_one_that_prometheus_computes() {
        let none = Pairs::new();
        assert_eq!(fingerprint(&none), format!("{:016x}", 14_695_981_039_346_656_037u64));
        let labels: Pairs = [("name", "garland, briggs"), ("fear", "love is not enough")]
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .into();
        assert_eq!(fingerprint(&labels), format!("{:016x}", 5_799_056_148_416_392_346u64));
    }
}
