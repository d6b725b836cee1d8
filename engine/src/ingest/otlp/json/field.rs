//! Fields that ProtoJSON writes in more ways than one: 64-bit integers and doubles as numbers or text, bytes as text.

use base64::Engine as _;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::fmt::Display;
use std::str::FromStr;

/// A number that may stand in quotes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number<T> {
    Plain(T),
    Text(String),
}

impl<T: FromStr> Number<T>
where
    T::Err: Display,
{
    fn take<E: serde::de::Error>(self) -> Result<T, E> {
        match self {
            Self::Plain(number) => Ok(number),
            Self::Text(text) => text
                .parse()
                .map_err(|error| E::custom(format!("{text:?} is not a number: {error}"))),
        }
    }
}

fn one<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
where
    T: FromStr + Deserialize<'de>,
    T::Err: Display,
    D: Deserializer<'de>,
{
    // `null` stands for the default of any field.
    Option::<Number<T>>::deserialize(from)?.map(Number::take).transpose()
}

fn many<'de, T, D>(from: D) -> Result<Vec<T>, D::Error>
where
    T: FromStr + Deserialize<'de>,
    T::Err: Display,
    D: Deserializer<'de>,
{
    let numbers = Option::<Vec<Number<T>>>::deserialize(from)?.unwrap_or_default();
    numbers.into_iter().map(Number::take).collect()
}

pub(super) fn natural<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    Ok(one(from)?.unwrap_or_default())
}

pub(super) fn naturals<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u64>, D::Error> {
    many(from)
}

pub(super) fn maybe_integer<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    one(from)
}

/// `"NaN"`, `"Infinity"` and `"-Infinity"` are numbers here, which Rust reads as such.
pub(super) fn maybe_double<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    one(from)
}

pub(super) fn double<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(one(from)?.unwrap_or_default())
}

pub(super) fn doubles<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    many(from)
}

pub(super) fn maybe_base64<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
    let decode = |text: String| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(&text);
        bytes.map_err(|error| D::Error::custom(format!("bytes are not base64: {error}")))
    };
    Option::<String>::deserialize(from)?.map(decode).transpose()
}

/// Ids of traces and spans.
pub(super) fn hexadecimal<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(from)?.unwrap_or_default();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    let bytes: Option<Vec<u8>> = pairs.collect();
    bytes.ok_or_else(|| D::Error::custom(format!("{text:.40?} is not hexadecimal")))
}
