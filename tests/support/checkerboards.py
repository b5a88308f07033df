"""Pictures of checkerboards as a camera of known lens and place sees them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np


@dataclass(frozen=True)
class Camera:
    """A camera; `distortion` is k1, k2, p1, p2, k3."""

    size_wh: tuple[int, int] = (640, 480)
    focal_px: float = 700.0
    distortion: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)

    @property
    def centre_xy(self):
        return ((self.size_wh[0] - 1) / 2 + 3.3, (self.size_wh[1] - 1) / 2 - 2.1)

    def pixels(self, rays):
        """Where rays (x / z, y / z) meet the frame."""
        k1, k2, p1, p2, k3 = self.distortion
        a, b = np.asarray(rays).T
        r2 = a * a + b * b
        radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
        bent = (
            a * radial + 2 * p1 * a * b + p2 * (r2 + 2 * a * a),
            b * radial + p1 * (r2 + 2 * b * b) + 2 * p2 * a * b,
        )
        return np.column_stack(bent) * self.focal_px + self.centre_xy


@dataclass(frozen=True)
class Pose:
    """Turn in degrees about x, y and z; middle of the board in mm from the axis; distance."""

    turn_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    at_mm: tuple[float, float] = (0.0, 0.0)
    distance_mm: float = 200.0

    @property
    def plane(self):
        """(3, 3): (u, v, 1) in mm on the board -> (x, y, z) of the camera."""
        turn, _ = cv2.Rodrigues(np.radians(self.turn_deg))
        return np.column_stack([turn[:, :2], [*self.at_mm, self.distance_mm]])

    def slid(self, u_mm, v_mm):
        """The board moved within its plane."""
        x, y, z = self.plane @ (u_mm, v_mm, 1)
        return Pose(self.turn_deg, (x, y), z)


def corners_mm(inner_wh=(9, 6), pitch_mm=8.0):
    """Inner corners row by row, from the middle of the board."""
    columns, rows = inner_wh
    x, y = np.meshgrid(np.arange(columns) - (columns - 1) / 2, np.arange(rows) - (rows - 1) / 2)
    return np.column_stack([x.ravel(), y.ravel()]) * pitch_mm


def project(points_mm, camera, pose):
    """Points of the board -> pixels of the frame, by OpenCV's own model."""
    solid = np.column_stack([points_mm, np.zeros(len(points_mm))])
    vector = np.radians(pose.turn_deg)
    shift = np.array([*pose.at_mm, pose.distance_mm], np.float64)
    matrix = np.array(
        [[camera.focal_px, 0, camera.centre_xy[0]], [0, camera.focal_px, camera.centre_xy[1]],
         [0, 0, 1.0]]
    )  # fmt: skip
    seen, _ = cv2.projectPoints(solid, vector, shift, matrix, np.array(camera.distortion))
    return seen.reshape(-1, 2)


def render(camera, pose, inner_wh=(9, 6), pitch_mm=8.0, blur_px=0.6, noise=1.5, seed=0):
    """A BGR frame of the board on a bright ground; its edges rise over about a pixel."""
    width, height = camera.size_wh
    u, v, w = np.linalg.inv(pose.plane) @ _rays(camera)
    u, v = u / w, v / w
    soft = pose.distance_mm / camera.focal_px
    columns, rows = inner_wh
    waves = _wave(u / pitch_mm + (columns - 1) / 2, pitch_mm / soft) * _wave(
        v / pitch_mm + (rows - 1) / 2, pitch_mm / soft
    )
    inside = np.clip((pitch_mm * (columns + 1) / 2 - np.abs(u)) / soft + 0.5, 0, 1) * np.clip(
        (pitch_mm * (rows + 1) / 2 - np.abs(v)) / soft + 0.5, 0, 1
    )
    grey = 220 - inside * (95 + 95 * waves)
    grey = grey.reshape(height, width).astype(np.float32)
    if blur_px:
        grey = cv2.GaussianBlur(grey, (0, 0), blur_px)
    grey += np.random.default_rng(seed).normal(0, noise, grey.shape).astype(np.float32)
    return cv2.cvtColor(np.clip(np.rint(grey), 0, 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)


def _wave(squares, edge):
    """A square wave that changes its sign at every whole number, over 1 / `edge` of a square."""
    return np.clip(np.sin(np.pi * squares) * edge / np.pi * 2, -1, 1)


@lru_cache(maxsize=4)
def _rays(camera):
    """(3, n): the ray (x / z, y / z, 1) of every pixel."""
    width, height = camera.size_wh
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    seen = np.column_stack([x.ravel(), y.ravel()]).astype(np.float64)
    rays = (seen - camera.centre_xy) / camera.focal_px
    for _ in range(12 if any(camera.distortion) else 0):
        rays += (seen - camera.pixels(rays)) / camera.focal_px
    return np.vstack([rays.T, np.ones(len(rays))])


STRAIGHT = Camera()
BENT = Camera(distortion=(-0.25, 0.08, 0.001, -0.0008, 0.0))
ROUND_THE_FRAME = (
    Pose((0, 0, 0), (0, 0), 190),
    Pose((20, 0, 5), (-35, -24), 200),
    Pose((-20, 10, 0), (35, 24), 200),
    Pose((0, 25, 3), (-35, 24), 205),
    Pose((5, -25, -8), (35, -24), 205),
    Pose((15, 15, 20), (0, 0), 180),
    Pose((-12, -18, 180), (0, 5), 190),
)
