//! Who is asking: evidence from the kernel, the platform or a verified token, and the agent that it is.
