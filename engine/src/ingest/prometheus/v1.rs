//! `prometheus.WriteRequest`: labels as text, metadata apart from series.

use super::decoder::{Decoder, Malformed, Pair, Raw, Texts, metric_type};
use super::reader::{Reader, Wire};
use wire::Timestamp;

/// Whether the first field is one that version 2 alone has: the numbers of the two have nothing in common, so that none is read as
/// the other and found empty.
pub(super) fn is_v2(body: &[u8]) -> bool {
    matches!(Reader::new(body).next(), Ok(Some((4 | 5, Wire::Bytes(_)))))
}

impl<'a> Decoder<'a> {
    pub(super) fn request_v1(&mut self, body: &'a [u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(body);
        while let Some((field, value)) = reader.next()? {
            match (field, value) {
                (1, Wire::Bytes(series)) => self.series_v1(series)?,
                (3, Wire::Bytes(metadata)) => self.metadata_v1(metadata),
                // From a newer version, and no error.
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes type, help and unit of a metric family. Metadata that makes no sense is no reason to lose samples.
    fn metadata_v1(&mut self, body: &[u8]) {
        let (mut code, mut name, mut texts) = (0, &body[..0], Texts::default());
        let mut reader = Reader::new(body);
        while let Ok(Some((field, content))) = reader.next() {
            match (field, content) {
                (1, Wire::Varint(number)) => code = number,
                (2, Wire::Bytes(bytes)) => name = bytes,
                (4, Wire::Bytes(bytes)) => texts.help = bytes,
                (5, Wire::Bytes(bytes)) => texts.unit = bytes,
                _ => {}
            }
        }
        if let Some(kind) = metric_type(code) {
            self.declare(name, kind, texts);
        }
    }

    fn series_v1(&mut self, body: &'a [u8]) -> Result<(), Malformed> {
        self.clear();
        let mut reader = Reader::new(body);
        while let Some((field, value)) = reader.next()? {
            match (field, value) {
                (1, Wire::Bytes(label)) => {
                    let label = self::label(label)?;
                    self.labels.push(label);
                }
                (2, Wire::Bytes(sample)) => self.samples.push(sample),
                (3, Wire::Bytes(exemplar)) => {
                    let exemplar = self::exemplar(exemplar)?;
                    self.exemplars.push(exemplar);
                }
                (4, Wire::Bytes(histogram)) => self.histograms.push(histogram),
                _ => {}
            }
        }
        self.series(None)
    }
}

fn label(body: &[u8]) -> Result<Pair<'_>, Malformed> {
    let (mut name, mut value) = (&body[..0], &body[..0]);
    let mut reader = Reader::new(body);
    while let Some((field, content)) = reader.next()? {
        match (field, content) {
            (1, Wire::Bytes(bytes)) => name = bytes,
            (2, Wire::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    Ok((name, value))
}

fn exemplar(body: &[u8]) -> Result<Raw<'_>, Malformed> {
    let mut exemplar = Raw {
        labels: Vec::new(),
        value: 0.0,
        at: Timestamp(0),
    };
    let mut reader = Reader::new(body);
    while let Some((field, content)) = reader.next()? {
        match (field, content) {
            (1, Wire::Bytes(label)) => exemplar.labels.push(self::label(label)?),
            (2, Wire::Fixed64(bits)) => exemplar.value = f64::from_bits(bits),
            (3, Wire::Varint(bits)) => exemplar.at = Timestamp(bits.cast_signed()),
            _ => {}
        }
    }
    Ok(exemplar)
}
