//! Model files: safetensors in and out.

use super::forest::{IsolationForest, Node};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use std::collections::HashMap;

/// The numbers of a single-precision tensor, in row-major order.
pub(super) fn floats(file: &SafeTensors<'_>, name: &str) -> Result<Vec<f32>, String> {
    let bytes = bytes(file, name, Dtype::F32)?;
    Ok(bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect())
}

fn words(file: &SafeTensors<'_>, name: &str) -> Result<Vec<u32>, String> {
    let bytes = bytes(file, name, Dtype::U32)?;
    Ok(bytes
        .chunks_exact(4)
        .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect())
}

fn bytes<'a>(file: &SafeTensors<'a>, name: &str, dtype: Dtype) -> Result<&'a [u8], String> {
    let view = file.tensor(name).map_err(|e| format!("tensor {name}: {e}"))?;
    if view.dtype() == dtype {
        Ok(view.data())
    } else {
        Err(format!("tensor {name} is {:?}, expected {dtype:?}", view.dtype()))
    }
}

/// Reads a forest and checks that every walk through it ends.
pub(super) fn read_forest(data: &[u8]) -> Result<IsolationForest, String> {
    let file = SafeTensors::deserialize(data).map_err(|e| e.to_string())?;
    let thresholds = floats(&file, "threshold")?;
    let links = words(&file, "link")?;
    let roots = words(&file, "root")?;
    let shape = words(&file, "shape")?;
    let &[subsample, features] = shape.as_slice() else {
        return Err("tensor shape must hold subsample and features".to_owned());
    };
    if thresholds.len() != links.len() || roots.is_empty() {
        return Err(format!(
            "{} thresholds, {} links, {} roots",
            thresholds.len(),
            links.len(),
            roots.len()
        ));
    }
    let nodes: Vec<Node> = thresholds
        .into_iter()
        .zip(links)
        .map(|(threshold, link)| Node { threshold, link })
        .collect();
    IsolationForest::new(nodes, roots, subsample as usize, features as usize)
}

/// The bytes of a forest's file.
pub(super) fn write_forest(forest: &IsolationForest) -> Result<Vec<u8>, String> {
    let thresholds: Vec<u8> = forest.nodes.iter().flat_map(|n| n.threshold.to_le_bytes()).collect();
    let links: Vec<u8> = forest.nodes.iter().flat_map(|n| n.link.to_le_bytes()).collect();
    let roots: Vec<u8> = forest.roots.iter().flat_map(|r| r.to_le_bytes()).collect();
    let shape: Vec<u8> = [forest.subsample as u32, forest.features as u32]
        .iter()
        .flat_map(|n| n.to_le_bytes())
        .collect();
    let view = |dtype, bytes| TensorView::new(dtype, vec![<[u8]>::len(bytes) / 4], bytes).map_err(|e| e.to_string());
    let tensors = [
        ("link", view(Dtype::U32, &links)?),
        ("root", view(Dtype::U32, &roots)?),
        ("shape", view(Dtype::U32, &shape)?),
        ("threshold", view(Dtype::F32, &thresholds)?),
    ];
    serialize(tensors, None::<HashMap<String, String>>).map_err(|e| e.to_string())
}

/// The bytes of a file of named single-precision tensors, `(name, shape, numbers)`.
pub(super) fn write_floats(tensors: &[(String, Vec<usize>, Vec<f32>)]) -> Result<Vec<u8>, String> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, numbers)| numbers.iter().flat_map(|x| x.to_le_bytes()).collect())
        .collect();
    let views: Vec<(&str, TensorView<'_>)> = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(|e| e.to_string())?;
            Ok((name.as_str(), view))
        })
        .collect::<Result<_, String>>()?;
    serialize(views, None::<HashMap<String, String>>).map_err(|e| e.to_string())
}
