//! Routes out of an interface, in batches.
//!
//! nlink's batches leave out the interface of a route (it resolves interfaces only for routes that are added one by one), and the
//! kernel then rejects them. [`Via`] puts the interface in.

use nlink::{
    RouteConfig,
    netlink::{InterfaceRef, MessageBuilder, route::ResolvedRouteInterfaces},
};

/// A route out of the interface with this index.
pub(super) struct Via<R>(pub(super) R, pub(super) u32);

impl<R: RouteConfig> RouteConfig for Via<R> {
    fn device_ref(&self) -> Option<&InterfaceRef> {
        self.0.device_ref()
    }

    fn multipath_device_refs(&self) -> Vec<Option<&InterfaceRef>> {
        self.0.multipath_device_refs()
    }

    fn family(&self) -> u8 {
        self.0.family()
    }

    fn write_add(&self, builder: &mut MessageBuilder, _: &ResolvedRouteInterfaces) {
        let interfaces = ResolvedRouteInterfaces { oif: Some(self.1), multipath: Vec::new() };
        self.0.write_add(builder, &interfaces);
    }

    fn write_delete(&self, builder: &mut MessageBuilder) {
        self.0.write_delete(builder);
    }
}
