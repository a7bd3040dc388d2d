//! A gateway over packages that a scripted node had, asked on raw sockets.

mod attacks;
mod browser;
mod changes;
mod clients;
mod files;
mod member_node;
mod pages;
mod support;
mod zips;
