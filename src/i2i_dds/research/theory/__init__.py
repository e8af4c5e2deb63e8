"""Randomness heals a wrong prior: KL(p~_t || p_t) along the ODE, the SDE and Cycle-SDE.

After "The Blessing of Randomness" (Nie et al., ICLR 2024, section 3). p_t is the data law noised to
timestep t. An edited latent starts from another law p~_T, and p~_t is where a sampler carries it.
With the exact score and infinitely small steps

    ODE        d KL / dt = 0
    SDE        d KL / dt = g(t)^2 / 2  E_{p~_t} |grad log(p~_t / p_t)|^2  >= 0, so KL falls with t
    Cycle-SDE  the same: the noises recorded on the source's path are independent of its x_T

and the SDE's law has a closed form, because its kernel is ``p_u(z_u) q(z_t | z_u) / p_t(z_t)``:

    (p~_u / p_u)(z) = E[(p~_T / p_T)(sqrt(r) z + sqrt(1 - r) noise)],    r = a_T / a_u

``laws`` has the data and the priors, ``quadrature`` and ``particles`` the samplers, which take the
steps that edit pictures; ``report`` puts the study together and ``figure`` draws it.
"""
