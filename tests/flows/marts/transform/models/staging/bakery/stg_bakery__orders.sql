with source as (

    select * from {{ source('bakery', 'orders') }}

),

renamed as (

    select
        order_id,
        customer_id,
        ordered_at,
        {{ shared.cents_to_euros('amount_cents') }} as amount,
        status
    from source

)

select * from renamed
