"""Aperture fluxes against photutils: the same exact circles on the same pixels."""

import warnings

import numpy as np
import pytest
from tests.acceptance.realdata import real_data

from tianyu.pipelines.fits.pixels import read_pixels
from tianyu.pipelines.science.apertures import measure_fluxes
from tianyu.pipelines.science.detection import detect_stars
from tianyu.pipelines.science.sky import model_sky
from tianyu.pipelines.simulation import NightPlan, simulate_frame
