//! Where pre-images and removed objects lie: directories of the journal's own, one on each
//! filesystem that the program changes.

mod dead;
mod place;
mod shelf;
mod stores;
mod sweep;

pub(crate) use dead::sweep_dead;
pub(crate) use place::{PLAN, PREFIX, StoreId};
pub(crate) use shelf::{Place, Shelf, ShelfId, Span};
pub(crate) use stores::{Stores, usual_candidates};
pub(crate) use sweep::names;
