//! What a node offers, and how far it is with what is wanted of it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{BlobId, ServiceName, codec, limits};

/// What a node offers to the others, as it says itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offers {
    /// The services it serves, but for hidden ones.
    pub services: BTreeSet<ServiceName>,
    /// The blobs it holds.
    pub blobs: BTreeSet<BlobId>,
}

impl Offers {
    /// The same within the limits, and how much did not fit.
    pub(crate) fn fitted(mut self) -> (Self, usize) {
        let before = self.services.len() + self.blobs.len();
        self.services = self.services.into_iter().take(limits::OFFERED_SERVICES).collect();
        self.blobs = self.blobs.into_iter().take(limits::OFFERED_BLOBS).collect();
        let left_out = before - self.services.len() - self.blobs.len();
        (self, left_out)
    }
}

/// How far a node is with the items it should have, as it says itself.
///
/// A summary of at most [`limits::STATUS_BYTES`] bytes; details are to be had from the node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Items it should have.
    pub wanted: u32,
    /// Of these, how many it has.
    pub applied: u32,
    /// Of these, how many it cannot have.
    pub failed: u32,
    /// The hash of what is applied, by which two nodes notice that they have not the same.
    pub digest: u64,
    /// The worst trouble, in a few words.
    pub worst: Option<String>,
}

impl NodeStatus {
    /// Its length in a record, in bytes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        codec::encode(self).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blob_ids_are_bytes_where_people_do_not_read() {
        let id = BlobId(std::array::from_fn(|at| at as u8));
        assert_eq!(codec::encode(&id), id.0);
        assert_eq!(codec::decode(&id.0), Ok(id));
    }

    #[test]
    fn the_largest_offers_fit_their_record() {
        let service = |at| {
            let name = format!("{at:03}{}", "x".repeat(limits::SERVICE_NAME_BYTES - 3));
            ServiceName::parse(&name).unwrap()
        };
        let blob = |at: usize| {
            let mut bytes = [255; 32];
            bytes[..8].copy_from_slice(&at.to_be_bytes());
            BlobId(bytes)
        };
        let offers = Offers {
            services: (0..limits::OFFERED_SERVICES + 1).map(service).collect(),
            blobs: (0..limits::OFFERED_BLOBS + 2).map(blob).collect(),
        };
        let (fitted, left_out) = offers.fitted();
        assert_eq!(left_out, 3);
        assert_eq!(fitted.services.len(), limits::OFFERED_SERVICES);
        assert!(codec::encode(&fitted).len() <= limits::OFFERS_BYTES);
        const { assert!(limits::OFFERS_BYTES <= limits::BODY_BYTES) };
        assert_eq!(fitted.clone().fitted(), (fitted, 0));
    }
}
