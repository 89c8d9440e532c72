"""The reconcile loop: desired state from the store, made so, and what is reported back."""
