//! The block devices: `devices`.

use std::collections::BTreeMap;

use super::{FactRoot, encoded_bytes, record};
use crate::{fact::Value, limits};

/// Sizes in sysfs are in these units, whatever the device's own blocks are.
const SECTOR_BYTES: i64 = 512;

/// The whole block devices by kernel name: physical ones first, as many as there is room for.
pub(super) fn devices(root: &FactRoot) -> Option<Value> {
    let mut found: Vec<_> = root
        .names("sys/block")?
        .into_iter()
        .filter_map(|name| Some((is_virtual(root, &name), device(root, &name)?, name)))
        .collect();
    // A stable sort: by name among their like.
    found.sort_by_key(|(is_virtual, ..)| *is_virtual);
    let (mut devices, mut bytes, all) = (BTreeMap::new(), 0, found.len());
    for (_, device, name) in found {
        bytes += encoded_bytes(&name, &device);
        if bytes > limits::HOST_DEVICES_BYTES || devices.len() >= limits::HOST_ELEMENTS {
            tracing::debug!(told = devices.len(), all, "too many block devices for the facts");
            break;
        }
        devices.insert(name, device);
    }
    Some(Value::Map(devices))
}

/// One device; `None` if it has no medium, or is one path of several to another one.
fn device(root: &FactRoot, name: &str) -> Option<Value> {
    let file = |file: &str| format!("sys/block/{name}/{file}");
    let size = root.number(&file("size"))?.checked_mul(SECTOR_BYTES).filter(|size| *size > 0)?;
    if root.flag(&file("hidden")) == Some(true) {
        return None;
    }
    Some(record([
        ("size", Some(Value::from(size))),
        ("rotational", root.flag(&file("queue/rotational")).map(Value::from)),
        ("removable", root.flag(&file("removable")).map(Value::from)),
        ("virtual", Some(Value::from(is_virtual(root, name)))),
        ("logical_block_size", root.number(&file("queue/logical_block_size")).map(Value::from)),
        ("vendor", root.line(&file("device/vendor")).map(Value::from)),
        ("model", root.line(&file("device/model")).map(Value::from)),
    ]))
}

/// Loop, ram, dm, md and their like. An NVMe disk with several paths is below `virtual` too, but
/// not below `virtual/block`: it is real.
fn is_virtual(root: &FactRoot, name: &str) -> bool {
    root.path.join("sys/devices/virtual/block").join(name).exists()
}
