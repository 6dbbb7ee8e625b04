//! Who offers what.

use std::mem::MaybeUninit;

use serde_json::{Value, json};
use tribe::{Offer, OfferQuery, PluginPattern, ServicePattern};

use crate::{
    Error, Node, Status, Str, Text,
    handle::{Required, call},
};

/// Lists what live nodes offer, a JSON array by service and node: `node`, `id`, `tribes` (names),
/// `service`, `plugin` (`type`, `name`, `version`; null if the service is no plugin). It asks nobody: every
/// node knows it. Free it with tribe_text_free().
///
/// Each text that is not empty leaves out what does not fit: `tribe` and `member` by their names; `service`
/// by a name in which `*` is any text, as in `echo/` and a star; `plugin` as `TYPE:NAME:VERSIONS`, as in
/// `publisher:influxdb:>=20,<30`, where parts may be `*` or left out at the end.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_offers(
    node: Option<&Node>,
    tribe: Str,
    member: Str,
    service: Str,
    plugin: Str,
    out: Option<&mut MaybeUninit<Box<Text>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let out = out.required("out")?;
        let service = service.read_optional("service")?;
        let plugin = plugin.read_optional("plugin")?;
        let query = OfferQuery {
            tribe: tribe.read_optional("tribe")?.map(str::to_owned),
            node: member.read_optional("member")?.map(str::to_owned),
            service: service.map(ServicePattern::parse).transpose()?,
            plugin: plugin.map(PluginPattern::parse).transpose()?,
        };
        let offers = node.required("node")?.open()?.view().offers(&query)?;
        let offers = offers.iter().map(offer_json).collect();
        out.write(Box::new(Text::json(&Value::Array(offers))));
        Ok(())
    })
}

fn offer_json(offer: &Offer) -> Value {
    let plugin = offer.plugin.as_ref();
    let plugin = plugin.map(
        |plugin| json!({ "type": plugin.kind, "name": plugin.name, "version": plugin.version }),
    );
    json!({
        "node": offer.node.as_str(),
        "id": offer.id.to_string(),
        "tribes": offer.tribes.iter().map(|tribe| tribe.as_str()).collect::<Vec<_>>(),
        "service": offer.service.as_str(),
        "plugin": plugin,
    })
}
