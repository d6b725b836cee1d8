//! Model files: safetensors in and out.

use super::calibration::class_name;
use super::forest::{IsolationForest, Node};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use std::collections::HashMap;
use std::sync::Arc;
use wire::series::MetricClass;

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

/// One isolation forest for each metric class, in the order of [`MetricClass::ALL`].
pub(super) type Forests = [Arc<IsolationForest>; 5];

/// What the tensors of the joint forest are named after.
const JOINTLY: &str = "joint.";

/// Reads the forests and checks that every walk through them ends. A file whose tensors name no class holds one forest for
/// all of them: so it was in the first format.
pub(super) fn read_forests(data: &[u8]) -> Result<Forests, String> {
    let file = SafeTensors::deserialize(data).map_err(|e| e.to_string())?;
    if file.tensor("root").is_ok() {
        let shared = Arc::new(read_forest(&file, "")?);
        return Ok(MetricClass::ALL.map(|_| Arc::clone(&shared)));
    }
    let mut forests = Vec::with_capacity(MetricClass::ALL.len());
    for class in MetricClass::ALL {
        forests.push(Arc::new(read_forest(&file, &format!("{}.", class_name(class)))?));
    }
    Ok(forests.try_into().expect("one forest was pushed for every class"))
}

/// Reads the forest over the metrics of an entity. `None` where the file has none, as before the third format.
pub(super) fn read_joint(data: &[u8]) -> Result<Option<IsolationForest>, String> {
    let file = SafeTensors::deserialize(data).map_err(|e| e.to_string())?;
    let is_there = file.tensor(&format!("{JOINTLY}root")).is_ok();
    is_there.then(|| read_forest(&file, JOINTLY)).transpose()
}

fn read_forest(file: &SafeTensors<'_>, prefix: &str) -> Result<IsolationForest, String> {
    let name = |part: &str| format!("{prefix}{part}");
    let thresholds = floats(file, &name("threshold"))?;
    let links = words(file, &name("link"))?;
    let roots = words(file, &name("root"))?;
    let shape = words(file, &name("shape"))?;
    let &[subsample, features] = shape.as_slice() else {
        return Err(format!("tensor {} must hold subsample and features", name("shape")));
    };
    if thresholds.len() != links.len() || roots.is_empty() {
        return Err(format!(
            "{} {}, {} {}, {} {}",
            thresholds.len(),
            name("threshold"),
            links.len(),
            name("link"),
            roots.len(),
            name("root")
        ));
    }
    let nodes: Vec<Node> = thresholds
        .into_iter()
        .zip(links)
        .map(|(threshold, link)| Node { threshold, link })
        .collect();
    IsolationForest::new(nodes, roots, subsample as usize, features as usize)
}

/// The bytes of the forests' file. A forest that all classes share is written once.
pub(super) fn write_forests(forests: &Forests, joint: Option<&IsolationForest>) -> Result<Vec<u8>, String> {
    let shared = forests.iter().all(|forest| **forest == *forests[0]);
    let mut named: Vec<(String, &IsolationForest)> = if shared {
        vec![(String::new(), forests[0].as_ref())]
    } else {
        let prefix = |class| format!("{}.", class_name(class));
        MetricClass::ALL
            .into_iter()
            .map(prefix)
            .zip(forests.iter().map(AsRef::as_ref))
            .collect()
    };
    named.extend(joint.map(|forest| (JOINTLY.to_owned(), forest)));
    let mut tensors = Vec::new();
    for (prefix, forest) in named {
        let thresholds: Vec<u8> = forest.nodes.iter().flat_map(|n| n.threshold.to_le_bytes()).collect();
        let links: Vec<u8> = forest.nodes.iter().flat_map(|n| n.link.to_le_bytes()).collect();
        let roots: Vec<u8> = forest.roots.iter().flat_map(|r| r.to_le_bytes()).collect();
        let shape = [forest.subsample as u32, forest.features as u32];
        let shape: Vec<u8> = shape.iter().flat_map(|n| n.to_le_bytes()).collect();
        tensors.extend([
            (format!("{prefix}link"), Dtype::U32, links),
            (format!("{prefix}root"), Dtype::U32, roots),
            (format!("{prefix}shape"), Dtype::U32, shape),
            (format!("{prefix}threshold"), Dtype::F32, thresholds),
        ]);
    }
    let views: Vec<(&str, TensorView<'_>)> = tensors
        .iter()
        .map(|(name, dtype, bytes)| {
            let view = TensorView::new(*dtype, vec![bytes.len() / 4], bytes).map_err(|e| e.to_string())?;
            Ok((name.as_str(), view))
        })
        .collect::<Result<_, String>>()?;
    serialize(views, None::<HashMap<String, String>>).map_err(|e| e.to_string())
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
