"""Growth: what work costs against participants, voxels and modalities, with plots and a plan."""
