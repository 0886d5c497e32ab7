"""An API Gateway REST API on one machine."""
