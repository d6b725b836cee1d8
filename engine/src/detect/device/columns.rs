//! Elementwise arithmetic that candle has no short word for.

use candle_core::{Device, Result, Tensor};

/// `[n]` numbers in double precision.
pub(super) fn column(values: Vec<f64>, device: &Device) -> Result<Tensor> {
    let n = values.len();
    Tensor::from_vec(values, n, device)
}

/// `[n]` numbers in single precision.
pub(super) fn singles(values: Vec<f32>, device: &Device) -> Result<Tensor> {
    let n = values.len();
    Tensor::from_vec(values, n, device)
}

/// `yes` where `which` (bytes) is not 0, else `no`.
pub(super) fn pick(which: &Tensor, yes: &Tensor, no: &Tensor) -> Result<Tensor> {
    which.where_cond(yes, no)
}

/// Double precision brought into `low..=high`.
pub(super) fn clamp(x: &Tensor, low: f64, high: f64) -> Result<Tensor> {
    x.maximum(low)?.minimum(high)
}
