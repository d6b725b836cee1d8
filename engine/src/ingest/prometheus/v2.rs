//! `io.prometheus.write.v2.Request`: every text once, in a table of symbols; labels and metadata of a series name its places.

use super::decoder::{Decoder, Malformed, Pair, Raw, metric_type};
use super::reader::{Reader, Wire};
use wire::Timestamp;

/// Symbols of a request at most: they take memory before anything is known of them.
const MAX_SYMBOLS: usize = 1 << 20;

/// What is wrong with the labels of a series whose places make no sense.
const ODD: &str = "a label has a name without a value: the number of references is odd";
const OUTSIDE: &str = "a label refers to a symbol that the request does not have";

impl<'a> Decoder<'a> {
    pub(super) fn request_v2(&mut self, body: &'a [u8]) -> Result<(), Malformed> {
        let mut symbols = Vec::new();
        let mut reader = Reader::new(body);
        while let Some((field, value)) = reader.next()? {
            if let (4, Wire::Bytes(symbol)) = (field, value) {
                if symbols.len() >= MAX_SYMBOLS {
                    return Err("it has more than 1048576 symbols; send less at once");
                }
                symbols.push(symbol);
            }
        }
        let mut refs = Vec::new();
        let mut reader = Reader::new(body);
        while let Some((field, value)) = reader.next()? {
            if let (5, Wire::Bytes(series)) = (field, value) {
                self.series_v2(series, &symbols, &mut refs)?;
            }
        }
        Ok(())
    }

    fn series_v2(&mut self, body: &'a [u8], symbols: &[&'a [u8]], refs: &mut Vec<u64>) -> Result<(), Malformed> {
        self.clear();
        refs.clear();
        let mut reader = Reader::new(body);
        let mut problem = None;
        while let Some((field, value)) = reader.next()? {
            match (field, value) {
                (1, content) => references(content, refs)?,
                (2, Wire::Bytes(sample)) => self.samples.push(sample),
                (3, Wire::Bytes(histogram)) => self.histograms.push(histogram),
                (4, Wire::Bytes(exemplar)) => match self::exemplar(exemplar, symbols)? {
                    Ok(exemplar) => self.exemplars.push(exemplar),
                    Err(found) => problem = Some(found),
                },
                (5, Wire::Bytes(metadata)) => {
                    let mut reader = Reader::new(metadata);
                    while let Some((field, content)) = reader.next()? {
                        match (field, content) {
                            (1, Wire::Varint(code)) => self.kind = metric_type(code),
                            (3, Wire::Varint(reference)) => {
                                self.texts.help = symbol(symbols, reference).unwrap_or_default()
                            }
                            (4, Wire::Varint(reference)) => {
                                self.texts.unit = symbol(symbols, reference).unwrap_or_default()
                            }
                            _ => {}
                        }
                    }
                }
                // Before the start moved to the samples it was here.
                (6, Wire::Varint(bits)) => self.start = Timestamp(bits.cast_signed()),
                _ => {}
            }
        }
        match pairs(refs, symbols, &mut self.labels) {
            Ok(()) => self.series(problem),
            Err(problem) => self.series(Some(problem)),
        }
    }
}

/// A list of numbers, packed or not.
fn references(content: Wire<'_>, refs: &mut Vec<u64>) -> Result<(), Malformed> {
    match content {
        Wire::Varint(reference) => refs.push(reference),
        Wire::Bytes(packed) => {
            let mut packed = Reader::new(packed);
            while !packed.is_empty() {
                refs.push(packed.varint()?);
            }
        }
        _ => {}
    }
    Ok(())
}

/// The labels that pairs of references name.
fn pairs<'a>(refs: &[u64], symbols: &[&'a [u8]], labels: &mut Vec<Pair<'a>>) -> Result<(), &'static str> {
    let (pairs, rest) = refs.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(ODD);
    }
    for [name, value] in pairs {
        let text = |reference| symbol(symbols, reference).ok_or(OUTSIDE);
        labels.push((text(*name)?, text(*value)?));
    }
    Ok(())
}

fn symbol<'a>(symbols: &[&'a [u8]], reference: u64) -> Option<&'a [u8]> {
    symbols.get(usize::try_from(reference).ok()?).copied()
}

fn exemplar<'a>(body: &[u8], symbols: &[&'a [u8]]) -> Result<Result<Raw<'a>, &'static str>, Malformed> {
    let mut exemplar = Raw {
        labels: Vec::new(),
        value: 0.0,
        at: Timestamp(0),
    };
    let mut refs = Vec::new();
    let mut reader = Reader::new(body);
    while let Some((field, content)) = reader.next()? {
        match (field, content) {
            (1, content) => references(content, &mut refs)?,
            (2, Wire::Fixed64(bits)) => exemplar.value = f64::from_bits(bits),
            (3, Wire::Varint(bits)) => exemplar.at = Timestamp(bits.cast_signed()),
            _ => {}
        }
    }
    Ok(pairs(&refs, symbols, &mut exemplar.labels).map(|()| exemplar))
}
