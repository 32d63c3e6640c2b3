//! The edges: gRPC services, HTTP, and the translation between wire and domain.
