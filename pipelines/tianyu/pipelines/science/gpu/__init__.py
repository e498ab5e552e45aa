"""The hot path as operations on whole arrays, for a device that works on thousands at once.

Every function takes the namespace of its arrays, ``xp``: `cupy` where there is a GPU, `numpy`
anywhere. So the same lines are tested on every machine, and what a test of arrays cannot show is
only what the device itself adds. Nothing here mixes arrays of the device with those of NumPy
but by ``xp.asarray`` and :func:`~.namespace.to_host`.

A frame is uploaded as its raw counts and stays; what comes back are histograms of boxes (1 MB),
the few pixels about its stars, and fluxes.

==================  ==========================================  =================================
file                reference                                   agreement
==================  ==========================================  =================================
``calibration``     ``calibrate.Calibrator.apply``              to the last bit
``skymesh``         ``sky.measure_sky``                         0.05 σ of a sky pixel
``skyimage``        ``sky.SkyModel.image``                      10⁻⁶ of the level
``maxima``          ``peaks.find_peaks``                        to the last bit
``summing``         ``stack.PartialStack``                      to the last bit
``disks``           ``footprints.Footprints.covered``           to the last bit
``light``           ``apertures.measure_fluxes``                10⁻⁵ of the flux's error
==================  ==========================================  =================================
"""
