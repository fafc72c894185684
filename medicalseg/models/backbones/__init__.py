"""Encoders of the networks for images, registered in `manager.BACKBONES`."""
