"""Cameras: what takes exposures, and what its frames say of themselves."""

from tianyu.pipelines.cameras.interface import Camera, CameraError, CapturedFrame

__all__ = ["Camera", "CameraError", "CapturedFrame"]
