//! Takes: what a snapshot is, who may ask for one, and when the tool refuses.

mod denied;
mod depth;
mod dispositions;
mod group_signals;
mod holes;
mod masks;
mod own_triggers;
mod refusals;
mod sandboxed;
mod take;
mod trigger_programs;
mod true_words;
